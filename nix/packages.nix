# The packages. Do not use `pkgs.callPackages` for this file: it would replace the
# `override` of each package.
{ pkgs }:
let
  inherit (pkgs) callPackage;
  plugin = callPackage ./plugin.nix { };
in
rec {
  nix-oci-hashes = callPackage ./package.nix { };
  default = nix-oci-hashes;
  inherit plugin;
  plugins = callPackage ./plugins.nix { inherit plugin; };

  # For the workflows of other repositories.
  propose-refresh = pkgs.writeShellApplication {
    name = "propose-refresh";
    runtimeInputs = [
      pkgs.gawk
      pkgs.gh
      pkgs.git
    ];
    text = builtins.readFile ../scripts/propose-refresh;
  };
}
