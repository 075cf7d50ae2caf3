# The tools for the targets of the Makefile, on any machine with Nix.
{ pkgs }:
pkgs.mkShell {
  packages =
    (with pkgs; [
      cargo
      cargo-deny
      cargo-fuzz
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
      skopeo
      time
      zizmor
    ])
    ++ pkgs.lib.optionals pkgs.stdenv.hostPlatform.isLinux [
      pkgs.chromedriver
      pkgs.chromium
      pkgs.iproute2
      pkgs.python3
      pkgs.strace
      pkgs.valgrind
    ];

  # The headers for the plugin, and the nix that loads it.
  buildInputs = [
    pkgs.boost
    pkgs.nix
  ];
}
