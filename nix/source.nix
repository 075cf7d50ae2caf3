# What the builds are made of, and nothing else, so that a new page of the
# documentation builds nothing anew. The tables are built in.
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
    ../tests
  ];
}
