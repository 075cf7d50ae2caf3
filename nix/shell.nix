# What `make lint` and `make test` need, on any machine with Nix.
{ pkgs }:
pkgs.mkShell {
  packages =
    (with pkgs; [
      cargo
      check-jsonschema
      clang-tools
      clippy
      curl
      deadnix
      distribution
      nixfmt
      pkg-config
      rustc
      rustfmt
      shellcheck
      zizmor
    ])
    ++ pkgs.lib.optional pkgs.stdenv.hostPlatform.isLinux pkgs.strace;

  # What the plugin is compiled against, and the nix that loads it.
  buildInputs = [
    pkgs.boost
    pkgs.nix
  ];
}
