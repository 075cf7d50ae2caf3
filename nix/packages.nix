# The packages, of a `pkgs.callPackages`.
{ callPackage }:
let
  plugin = callPackage ./plugin.nix { };
in
rec {
  nix-oci-hashes = callPackage ./package.nix { };
  default = nix-oci-hashes;
  inherit plugin;
  plugins = callPackage ./plugins.nix { inherit plugin; };
}
