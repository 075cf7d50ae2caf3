# Only the files that the builds and their tests read, so that a change to another
# file causes no rebuild. The tables are compiled in.
{ lib }:
lib.fileset.toSource {
  root = ../.;
  fileset = lib.fileset.unions [
    ../Cargo.lock
    ../Cargo.toml
    ../benches
    ../build.rs
    ../clippy.toml
    ../cpp
    ../digests.json
    ../docs
    ../images.json
    ./versions.txt
    ../src
    ../templates
    ../tests
  ];
}
