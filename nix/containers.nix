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
    mkDefault
    mkIf
    mkMerge
    mkOption
    mkOverride
    optional
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
  pins = import ./pin.nix {
    inherit
      self
      config
      lib
      pkgs
      ;
  };
  inherit (pins) imageOf isStored;

  hasBackend = config.virtualisation.${backend}.enable;
  pinned = filterAttrs (_: container: container.pin != null) containers;
  stored = filterAttrs (_: container: isStored container.pin) containers;

  optionOf = name: "virtualisation.oci-containers.containers.${name}";
  pathOf = name: "${optionOf name}.pin";
  referenceOf = name: pins.referenceOf (pathOf name);

  # Docker forgets the digest of an image that it loads, so its tag has to carry it.
  runOf =
    name: pin:
    if isStored pin && backend == "docker" then (imageOf pin).loadedName else referenceOf name pin;

  assertionsOf =
    name:
    { pin, image, ... }@container:
    let
      file = if (container.imageFile or null) != null then "imageFile" else "imageStream";
    in
    pins.assertionsOf {
      container = optionOf name;
      inherit pin image;
      option = "image";
      run = runOf name pin;
    }
    ++ optional (pin != null) {
      assertion = (container.imageFile or null) == null && (container.imageStream or null) == null;
      message =
        "${optionOf name} has both 'pin' and '${file}': keep one of them; "
        + "to load the pinned image from the Nix store, write pin.store = true";
    };
  warningsOf = name: container: pins.warningsOf (optionOf name) container.pin;

  units = import ./container-units.nix {
    inherit
      config
      imageOf
      lib
      pathOf
      pkgs
      stored
      ;
    inherit (pins) loadInPodman;
  };

  containerModule =
    {
      name,
      config,
      options,
      ...
    }:
    {
      options.pin = pins.option;
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
  imports = [ ./pin-options.nix ];

  options = {
    nix.ociHashes.prune = mkOption {
      type = types.bool;
      default = false;
      description = ''
        Whether to remove images that were loaded from the Nix store and that no
        container runs any more, after every change of the containers and at boot.
      '';
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
    # Without a container, there may be no podman or Docker.
    systemd.services = mkMerge (units.load ++ optionals (cfg.prune && hasBackend) units.prune);
  };
}
