# `pin` for the services of arion.
{ self }:
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib)
    mkForce
    mkIf
    mkMerge
    mkOption
    mkOverride
    optionals
    types
    ;
  inherit (builtins)
    attrValues
    concatLists
    elemAt
    mapAttrs
    match
    ;

  pins = import ./pin.nix {
    inherit
      self
      config
      lib
      pkgs
      ;
  };
  optionOf = name: "services.${name}.service";
  # Docker forgets the digest of an image that it loads, so its tag has to carry it.
  runOf =
    name: pin:
    if pins.isStored pin then
      (pins.imageOf pin).loadedName
    else
      pins.referenceOf "${optionOf name}.pin" pin;

  serviceModule =
    { name, config, ... }:
    let
      inherit (config.service) pin;
      image = pins.imageOf pin;
      # `docker images` prints the names of Docker Hub without its own.
      nameAndTag = match "(docker[.]io/(library/)?)?(.*):(.*)" image.loadedName;
    in
    {
      options.service.pin = pins.option;
      config = mkIf (pin != null) (mkMerge [
        # Stronger than the default of arion, and weaker than an image that is given, so
        # that this is the assertion's.
        { service.image = mkOverride 900 (runOf name pin); }
        (mkIf (pins.isStored pin) {
          # arion runs the program and gives its output to `docker load`.
          image.nixBuild = mkForce true;
          build.image = mkForce (
            image.stream
            // {
              isExe = true;
              imageName = elemAt nameAndTag 2;
              imageTag = elemAt nameAndTag 3;
            }
          );
        })
      ]);
    };

  assertionsOf =
    name:
    { service, ... }@container:
    pins.assertionsOf {
      container = optionOf name;
      inherit (service) pin image;
      option = "image";
      run = runOf name service.pin;
    }
    ++ optionals (service.pin != null) [
      {
        assertion = (service.build.context or null) == null;
        message = "${optionOf name} has both 'pin' and 'build.context': keep one of them";
      }
      {
        assertion = pins.isStored service.pin || !(container.image.nixBuild or false);
        message = "${optionOf name}.pin and services.${name}.image.nixBuild are both set: keep one of them";
      }
    ];
in
{
  imports = [ ./pin-options.nix ];

  options.services = mkOption {
    type = types.attrsOf (types.submodule serviceModule);
  };

  config = {
    assertions = concatLists (attrValues (mapAttrs assertionsOf config.services));
    warnings = concatLists (
      attrValues (
        mapAttrs (name: { service, ... }: pins.warningsOf (optionOf name) service.pin) config.services
      )
    );
  };
}
