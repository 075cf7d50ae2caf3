# The packages. Not for `pkgs.callPackages`, which would put its own `override` in
# the place of theirs.
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
