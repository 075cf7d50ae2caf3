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
    mkDefault
    mkEnableOption
    mkIf
    mkMerge
    mkOption
    types
    ;
  inherit (builtins) attrValues concatLists mapAttrs;

  cfg = config.nix.ociHashes;
  containers = config.virtualisation.oci-containers.containers;
  support = import ./support.nix { inherit lib; };
  names = import ./lib/name.nix;
  tables = import ./lib/table.nix;
  inherit (import ./lib/lookup.nix) lookup;

  table = if cfg.digests == null then self + "/digests.json" else cfg.digests;
  # Read once, however many containers there are.
  loaded = tables.load table;

  # The argument of the lookup for a pin. The platform defaults to that of this host.
  argumentOf =
    pin:
    {
      platform = pkgs.stdenv.hostPlatform.system;
    }
    // (
      if builtins.isString pin then { image = pin; } else lib.filterAttrs (_: value: value != null) pin
    );
  find = pin: lookup loaded (argumentOf pin);

  # With the plugin and the setting `oci-hash-resolve`, impure evaluation asks the
  # registry for references that are not in the table.
  mayResolve = builtins ? ociHash && builtins ? currentSystem;
  resolve = pin: builtins.ociHash ({ digests = table; } // argumentOf pin);
  isFound = pin: find pin ? value || mayResolve && (builtins.tryEval (resolve pin)).success;
  imageOf =
    option: pin:
    let
      found = find pin;
    in
    if found ? value then
      names.toText found.value
    else if mayResolve then
      resolve pin
    else
      throw "${option}: ${found.error}";

  optionOf = name: "virtualisation.oci-containers.containers.${name}";

  assertionsOf =
    name: container:
    let
      found = find container.pin;
    in
    if container.pin == null then
      [ ]
    else
      [
        {
          assertion = isFound container.pin;
          message = "${optionOf name}.pin: ${found.error}";
        }
        {
          assertion = !(found ? value) || container.image == names.toText found.value;
          message =
            "${optionOf name} has both 'pin' and 'image', and they differ: keep one of them; "
            + "'pin' sets 'image' to ${names.toText found.value}, not to ${container.image}";
        }
      ];

  optionalText =
    example: description:
    mkOption {
      type = types.nullOr types.str;
      default = null;
      inherit example description;
    };

  pinType = types.either types.str (
    types.submodule {
      options = {
        image = mkOption {
          type = types.str;
          example = "docker.io/nextcloud";
          description = "The image; it may carry a tag or a version requirement.";
        };
        version = optionalText "^34" "A tag, or a version requirement, of which the highest pinned version is taken.";
        variant = optionalText "-fpm" "The suffix of the tag.";
        platform = optionalText "linux/arm64" "The platform, or a Nix system. Null stands for the host's.";
        digests = mkOption {
          type = types.nullOr types.path;
          default = null;
          example = literalExpression "./digests.json";
          description = "The table of this pin, instead of `nix.ociHashes.digests`.";
        };
      };
    }
  );

  containerModule =
    { name, config, ... }:
    {
      options.pin = mkOption {
        type = types.nullOr pinType;
        default = null;
        example = "docker.io/nextcloud:34";
        description = ''
          A reference such as `docker.io/nextcloud:34` or `docker.io/nextcloud:^34`, or a
          set of `image`, `version`, `variant`, `platform` and `digests`, that is looked
          up in the table of pins. It sets `image` to the pinned reference for the
          platform of the host.
        '';
      };
      config.image = mkIf (config.pin != null) (mkDefault (imageOf "${optionOf name}.pin" config.pin));
    };
in
{
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

      digests = mkOption {
        type = types.nullOr types.path;
        default = null;
        example = literalExpression "./digests.json";
        description = ''
          The table of pins: of `pin` in `virtualisation.oci-containers`, and of
          `builtins.ociHash` in impure evaluation (the setting
          `oci-hash-digests`). Null stands for the one that comes with
          nix-oci-hashes.
        '';
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

    virtualisation.oci-containers.containers = mkOption {
      type = types.attrsOf (types.submodule containerModule);
    };
  };

  config = mkMerge [
    { assertions = concatLists (attrValues (mapAttrs assertionsOf containers)); }
    (mkIf cfg.enable {
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
    })
  ];
}
