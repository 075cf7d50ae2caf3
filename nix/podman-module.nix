# `pin` for the containers of home-manager's services.podman.
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
    mkIf
    mkMerge
    mkOption
    mkOverride
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
  inherit (config.services) podman;
  optionOf = name: "services.podman.containers.${name}";
  referenceOf = name: pins.referenceOf "${optionOf name}.pin";
  # home-manager has no units on macOS, and no containers without `enable`.
  hasUnits = podman.enable && pkgs.stdenv.hostPlatform.isLinux;
  stored = filterAttrs (_: container: hasUnits && pins.isStored container.pin) podman.containers;

  containerModule =
    { name, config, ... }:
    {
      options.pin = pins.option;
      config = mkIf (config.pin != null) (mkMerge [
        # Weaker than `mkDefault`, so that a second image is the assertion's.
        { image = mkOverride 1100 (referenceOf name config.pin); }
        (mkIf (pins.isStored config.pin) { extraPodmanArgs = [ "--pull=never" ]; })
      ]);
    };
in
{
  imports = [ ./pin-options.nix ];

  options.services.podman.containers = mkOption {
    type = types.attrsOf (types.submodule containerModule);
  };

  config = {
    assertions = concatLists (
      attrValues (
        mapAttrs (
          name: container:
          pins.assertionsOf {
            container = optionOf name;
            inherit (container) pin image;
            option = "image";
            run = referenceOf name container.pin;
          }
        ) podman.containers
      )
    );
    warnings = concatLists (
      attrValues (
        mapAttrs (name: container: pins.warningsOf (optionOf name) container.pin) podman.containers
      )
    );
    systemd.user.services = listToAttrs (
      attrValues (
        mapAttrs (
          name: container:
          userUnits.load {
            path = "${optionOf name}.pin";
            inherit (container) pin;
            podman = podman.package;
            service = "podman-${name}";
          }
        ) stored
      )
    );
  };
}
