# `pkgs.nix-oci-hashes`, and the plugin as `pkgs.nix-oci-hashes-plugin`.
final: _prev: {
  nix-oci-hashes = final.callPackage ./package.nix { };
  nix-oci-hashes-plugin = final.callPackage ./plugin.nix { };
  nix-oci-hashes-plugins = final.callPackage ./plugins.nix {
    plugin = final.nix-oci-hashes-plugin;
  };
}
