# The options of `pin` that are the same for all containers.
{
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) literalExpression mkOption types;
in
{
  imports = [ ./table-option.nix ];

  options.nix.ociHashes = {
    store = mkOption {
      type = types.bool;
      default = false;
      description = ''
        Whether the images of all containers with `pin` are in the Nix store, so that
        they start without a registry.
      '';
    };

    manifests = mkOption {
      type = types.nullOr types.path;
      default = null;
      example = literalExpression "./manifests";
      description = "The folder of recorded manifests. Null stands for `manifests` beside the table.";
    };

    mirrors = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "mirror.example:5000" ];
      description = "Mirrors that builds of images try first, for the same repository.";
    };

    fetcher = mkOption {
      type = types.package;
      default = pkgs.buildPackages.callPackage ./package.nix { };
      defaultText = literalExpression "pkgs.buildPackages.callPackage \"\${nix-oci-hashes}/nix/package.nix\" { }";
      example = literalExpression "inputs.nix-oci-hashes.packages.\${pkgs.stdenv.hostPlatform.system}.default";
      description = "The command nix-oci-hashes, which fetches images into the Nix store.";
    };
  };
}
