# What `make lint` and `make test` need, on any machine with Nix.
{ pkgs }:
pkgs.mkShell {
  packages = with pkgs; [
    boost
    cargo
    check-jsonschema
    clang-tools
    clippy
    curl
    deadnix
    distribution
    nix
    nixfmt
    pkg-config
    rustc
    rustfmt
    shellcheck
    strace
    zizmor
  ];
}
