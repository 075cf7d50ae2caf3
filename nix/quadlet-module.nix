# `pin` for the containers of quadlet-nix: for NixOS, or, with `isHome`, for home-manager.
{ self, isHome }:
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
    types
    ;
  inherit (builtins)
    attrValues
    concatLists
    listToAttrs
    mapAttrs
    ;

  pins = import ./pin.nix {
    inherit
      self
      config
      lib
      pkgs
      ;
  };
  userUnits = import ./user-units.nix { inherit pins pkgs; };
  inherit (config.virtualisation.quadlet) containers;
  optionOf = name: "virtualisation.quadlet.containers.${name}";
  referenceOf = name: pins.referenceOf "${optionOf name}.pin";
  stored = filterAttrs (_: container: pins.isStored container.pin) containers;

  containerModule =
    { name, config, ... }:
    {
      options.pin = pins.option;
      config = mkIf (config.pin != null) (mkMerge [
        # Weaker than `mkDefault`, so that a second image is the assertion's.
        { containerConfig.image = mkOverride 1100 (referenceOf name config.pin); }
        (mkIf (pins.isStored config.pin) {
          containerConfig.pull = mkDefault "never";
          unitConfig = {
            Requires = [ "${name}-pin.service" ];
            After = [ "${name}-pin.service" ];
          };
        })
      ]);
    };

  systemUnit = name: pin: {
    name = "${name}-pin";
    value = {
      description = "Image of the container ${name}, from the Nix store";
      serviceConfig.Type = "oneshot";
      # What a storage driver needs.
      path =
        (config.virtualisation.podman.extraPackages or [ ])
        ++ optional (config.boot.supportedFilesystems.zfs or false) config.boot.zfs.package;
      script = pins.loadInPodman {
        path = "${optionOf name}.pin";
        inherit pin;
        podman = "${config.virtualisation.podman.package}/bin/podman";
        skopeo = "${pkgs.skopeo}/bin/skopeo";
      };
    };
  };
  userUnit =
    name: pin:
    userUnits.load {
      path = "${optionOf name}.pin";
      inherit pin;
      podman = pkgs.podman;
      service = name;
    };
  units = listToAttrs (
    attrValues (
      mapAttrs (name: container: (if isHome then userUnit else systemUnit) name container.pin) stored
    )
  );

  assertionsOf =
    name: container:
    pins.assertionsOf {
      container = optionOf name;
      inherit (container) pin;
      option = "containerConfig.image";
      inherit (container.containerConfig) image;
      run = referenceOf name container.pin;
    }
    ++ optional (container.pin != null) {
      assertion = (container.rawConfig or null) == null;
      message = "${optionOf name} has both 'pin' and 'rawConfig', and only the second counts: keep one of them";
    }
    ++ optional (pins.isStored container.pin) {
      # The image would have to be in the storage of that user.
      assertion = (container.rootlessConfig.uid or null) == null;
      message =
        "${optionOf name} has both 'pin.store' and 'rootlessConfig.uid', which do not work together: "
        + "remove one of them, or run the container by home-manager";
    };
in
{
  imports = [ ./pin-options.nix ];

  options.virtualisation.quadlet.containers = mkOption {
    type = types.attrsOf (types.submodule containerModule);
  };

  config = {
    assertions = concatLists (attrValues (mapAttrs assertionsOf containers));
    warnings = concatLists (
      attrValues (mapAttrs (name: container: pins.warningsOf (optionOf name) container.pin) containers)
    );
    systemd = if isHome then { user.services = units; } else { services = units; };
  };
}
