# What the targets of the Makefile need, on any machine with Nix.
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
      pkgs.iproute2
      pkgs.strace
      pkgs.valgrind
    ];

  # What the plugin is compiled against, and the nix that loads it.
  buildInputs = [
    pkgs.boost
    pkgs.nix
  ];
}
