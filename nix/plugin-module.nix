# The module of the plugin, for the Nix that `nix.package` names. NixOS, nix-darwin and
# home-manager have the options that it sets.
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
  inherit (config.nix) package;
  support = import ./support.nix { inherit lib; };
  build = if package == null then null else support.buildOf package;
  isFitting = build != null;
  # The build for Nix's C API has none, and Nix warns of settings that it does not know.
  hasSettings = build != support.cApi;
in
{
  imports = [ ./table-option.nix ];

  options = {
    nix.ociHashes = {
      enable = mkEnableOption "`builtins.ociHash`, a builtin that pins OCI images, in the system's Nix";

      package = mkOption {
        type = types.package;
        default = (pkgs.callPackage ./plugin.nix { }).override { nix = package; };
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
        assertion = isFitting;
        message =
          if package == null then
            "nix.ociHashes.enable: nix.package is not set; set it to the Nix that you run"
          else
            "nix.ociHashes.enable: the plugin cannot be built for "
            + "${lib.getName package} ${lib.getVersion package}; set nix.package to one of "
            + "${support.supported}; or leave nix.ociHashes.enable out: 'pin' works without it";
      }
    ];
    warnings = mkIf (isFitting && !hasSettings) [
      (
        "nix.ociHashes.enable: there is no build of the plugin for Nix ${lib.getVersion package}; the build that stands in "
        + "answers only calls with the attribute 'digests', and asks no registry"
      )
    ];
    nix.settings = mkIf isFitting (
      {
        plugin-files = [ "${cfg.package}/${cfg.package.pluginFile}" ];
      }
      // lib.optionalAttrs hasSettings (
        {
          oci-hash-resolve = cfg.resolve;
          oci-hash-registries = cfg.registries;
          oci-hash-timeout = cfg.timeout;
        }
        // lib.optionalAttrs (cfg.digests != null) { oci-hash-digests = "${cfg.digests}"; }
      )
    );
  };
}
