# The NixOS module: the plugin for the system's Nix, and `pin` for containers.
{ self }:
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib)
    literalExpression
    mkEnableOption
    mkIf
    mkOption
    types
    ;

  cfg = config.nix.ociHashes;
  support = import ./support.nix { inherit lib; };
in
{
  imports = [ (import ./containers.nix { inherit self; }) ];

  options = {
    nix.ociHashes = {
      enable = mkEnableOption "`builtins.ociHash`, a builtin that pins OCI images, in the system's Nix";

      package = mkOption {
        type = types.package;
        default = (pkgs.callPackage ./plugin.nix { }).override { nix = config.nix.package; };
        defaultText = literalExpression "nix-oci-hashes-plugin.override { nix = config.nix.package; }";
        example = literalExpression "inputs.nix-oci-hashes.packages.\${pkgs.stdenv.hostPlatform.system}.plugins";
        description = "The plugin. It has to have a build for `config.nix.package`.";
      };

      resolve = mkOption {
        type = types.bool;
        default = false;
        description = ''
          Whether impure evaluation asks the registry for what is not in the table
          (the setting `oci-hash-resolve`).
        '';
      };

      registries = mkOption {
        type = types.listOf types.str;
        default = [ ];
        example = [
          "docker.io"
          "ghcr.io"
        ];
        description = "The only registries that Nix may ask; an empty list allows any (`oci-hash-registries`).";
      };

      timeout = mkOption {
        type = types.ints.between 1 3600;
        default = 15;
        description = "How many seconds the lookup of one reference in its registry may take (`oci-hash-timeout`).";
      };
    };
  };

  config = mkIf cfg.enable {
    assertions = [
      {
        assertion = support.isSupported config.nix.package;
        message =
          "nix.ociHashes.enable: the plugin cannot be built for "
          + "${lib.getName config.nix.package} ${lib.getVersion config.nix.package}; set nix.package to one of "
          + "${support.supported}; or leave nix.ociHashes.enable out: 'pin' works without it";
      }
    ];
    nix.settings = {
      plugin-files = [ "${cfg.package}/${cfg.package.pluginFile}" ];
      oci-hash-resolve = cfg.resolve;
      oci-hash-registries = cfg.registries;
      oci-hash-timeout = cfg.timeout;
    }
    // lib.optionalAttrs (cfg.digests != null) { oci-hash-digests = "${cfg.digests}"; };
  };
}
