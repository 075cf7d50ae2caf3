# The NixOS module of `pin`, for the containers of virtualisation.oci-containers.
{ self }:
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib)
    filterAttrs
    literalExpression
    mkDefault
    mkIf
    mkMerge
    mkOption
    mkOverride
    optional
    optionalAttrs
    optionals
    types
    ;
  inherit (builtins)
    attrValues
    concatLists
    mapAttrs
    toJSON
    ;

  cfg = config.nix.ociHashes;
  inherit (config.virtualisation.oci-containers) backend containers;
  names = import ./lib/name.nix;
  tables = import ./lib/table.nix;
  inherit (import ./lib/lookup.nix) lookup;

  table = if cfg.digests == null then self + "/digests.json" else cfg.digests;
  # Read once, however many containers there are.
  loaded = tables.load table;
  buildImage = import ./lib/image.nix loaded table;

  # The argument of the lookup for a pin. The platform defaults to that of this host.
  argumentOf =
    pin:
    {
      platform = pkgs.stdenv.hostPlatform.system;
    }
    // filterAttrs (_: value: value != null) (removeAttrs pin [ "store" ]);
  find = pin: lookup loaded (argumentOf pin);

  isStored = pin: pin != null && (if pin.store == null then cfg.store else pin.store);
  pinned = filterAttrs (_: container: container.pin != null) containers;
  stored = filterAttrs (_: container: isStored container.pin) containers;

  # With the plugin and the setting `oci-hash-resolve`, impure evaluation asks the
  # registry for references that are not in the table.
  mayResolve = builtins ? ociHash && builtins ? currentSystem;
  resolve = pin: builtins.ociHash ({ digests = table; } // argumentOf pin);

  # What an error of the built-in table needs in addition: it is not the user's.
  hint =
    pin:
    if cfg.digests == null && pin.digests == null then
      ". This is the table of nix-oci-hashes itself; for other images and tags, make a table of your own "
      + "(docs/your-own-table.md) and name it in nix.ociHashes.digests"
    else
      "";

  optionOf = name: "virtualisation.oci-containers.containers.${name}";

  # The reference that a container runs, and its image in the store.
  referenceOf =
    name: pin:
    let
      found = find pin;
      option = "${optionOf name}.pin";
    in
    if found ? value then
      names.toText found.value
    else if mayResolve && !isStored pin then
      builtins.addErrorContext "while resolving ${option}" (resolve pin)
    else
      throw "${option}: ${found.error}${hint pin}";
  imageOf =
    pin:
    buildImage (
      argumentOf pin
      // {
        inherit pkgs;
        inherit (cfg) fetcher mirrors;
        manifests = if pin.digests == null then cfg.manifests else null;
      }
      // optionalAttrs (config.security ? pki.caBundle) {
        certificates = config.security.pki.caBundle;
      }
    );
  # Docker forgets the digest of an image that it loads, so its tag has to carry it.
  runOf =
    name: pin:
    if isStored pin && backend == "docker" then (imageOf pin).loadedName else referenceOf name pin;

  assertionsOf =
    name: container:
    let
      inherit (container) pin;
      found = find pin;
      option = optionOf name;
      file = if (container.imageFile or null) != null then "imageFile" else "imageStream";
    in
    optionals (pin != null) [
      {
        # If a registry may answer, evaluating `image` throws its error.
        assertion = found ? value || mayResolve && !isStored pin;
        message = "${option}.pin: ${found.error}${hint pin}";
      }
      {
        assertion = !(found ? value) || container.image == runOf name pin;
        message =
          "${option} has both 'pin' and 'image', and they differ: keep one of them; "
          + "'pin' sets 'image' to ${runOf name pin}, not to ${container.image}";
      }
      {
        assertion = (container.imageFile or null) == null && (container.imageStream or null) == null;
        message =
          "${option} has both 'pin' and '${file}': keep one of them; "
          + "to load the pinned image from the Nix store, write pin.store = true";
      }
    ];

  # A pin without platforms answers with the digest of the index, whatever that offers.
  warningsOf =
    name: container:
    let
      inherit (container) pin;
      found = find pin;
      of = if pin.digests == null then loaded else tables.load pin.digests;
      pins = tables.pinsOf of.value found.value.image;
      isUnverified = (pins.${found.value.tag}.platforms or { }) == { };
    in
    optional (pin != null && found ? value && found.value.tag != null && isUnverified) (
      "${optionOf name}.pin: ${found.value.image}:${found.value.tag} is pinned without platforms, so its digest is "
      + "that of the index, which may not have ${(argumentOf pin).platform}; 'nix-oci-hashes refresh' records them"
    );

  units = import ./container-units.nix {
    inherit
      config
      imageOf
      lib
      pkgs
      referenceOf
      stored
      ;
  };

  optionalText =
    example: description:
    mkOption {
      type = types.nullOr types.str;
      default = null;
      inherit example description;
    };

  pinType = types.coercedTo types.str (image: { inherit image; }) (
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
        store = mkOption {
          type = types.nullOr types.bool;
          default = null;
          example = true;
          description = ''
            Whether the image is in the Nix store, so that the container starts without a
            registry. Null stands for `nix.ociHashes.store`.
          '';
        };
      };
    }
  );

  containerModule =
    {
      name,
      config,
      options,
      ...
    }:
    {
      options.pin = mkOption {
        type = types.nullOr pinType;
        default = null;
        example = "docker.io/nextcloud:34";
        description = ''
          A reference such as `docker.io/nextcloud:34` or `docker.io/nextcloud:^34`, or a
          set of `image`, `version`, `variant`, `platform`, `digests` and `store`, that is
          looked up in the table of pins. It sets `image` to the pinned reference for the
          platform of the host.
        '';
      };
      config = mkIf (config.pin != null) (mkMerge [
        # Weaker than `mkDefault`, so that a second image is the assertion's.
        { image = mkOverride 1100 (runOf name config.pin); }
        (mkIf (isStored config.pin) (
          if options ? pull then { pull = mkDefault "never"; } else { extraOptions = [ "--pull=never" ]; }
        ))
      ]);
    };
in
{
  options = {
    nix.ociHashes = {
      store = mkOption {
        type = types.bool;
        default = false;
        description = ''
          Whether the images of all containers with `pin` are in the Nix store, so that
          they start without a registry.
        '';
      };

      prune = mkOption {
        type = types.bool;
        default = false;
        description = ''
          Whether to remove images that were loaded from the Nix store and that no
          container runs any more, after every change of the containers and at boot.
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

    virtualisation.oci-containers.containers = mkOption {
      type = types.attrsOf (types.submodule containerModule);
    };

    systemd.services = mkOption {
      type = types.attrsOf (types.submodule units.withoutNetwork);
    };
  };

  config = {
    assertions = concatLists (attrValues (mapAttrs assertionsOf containers));
    warnings = concatLists (attrValues (mapAttrs warningsOf containers));
    # `nix-oci-hashes diff` compares those of two generations.
    environment.etc."nix-oci-hashes/containers.json".text = toJSON {
      version = 1;
      containers = mapAttrs (name: container: referenceOf name container.pin) pinned;
    };
    systemd.services = mkMerge (units.load ++ optionals cfg.prune units.prune);
  };
}
