# A stand-in for nixpkgs' lib.nixosSystem. The check `module` of the flake evaluates the
# module in a real NixOS.
{
  modules,
  nix ? {
    pname = "nix";
    version = "2.31.4";
  },
  system ? "x86_64-linux",
}:
let
  inherit (builtins)
    attrNames
    concatMap
    filter
    isAttrs
    isFunction
    listToAttrs
    map
    mapAttrs
    ;
  inherit (import ./stand-in.nix { inherit system; })
    lib
    pkgs
    merge
    mergeAll
    pinOf
    flatten
    ;

  evaluate =
    module:
    let
      imported = if isFunction module || isAttrs module then module else import module;
      value = if isFunction imported then imported { inherit config lib pkgs; } else imported;
    in
    [ value ] ++ concatMap evaluate (value.imports or [ ]);
  evaluated = concatMap evaluate modules;
  # The module under test declares options; the others only set them.
  declaring = filter (module: module ? options) evaluated;
  given = removeAttrs (mergeAll (filter (module: !(module ? options)) evaluated)) [
    "_file"
    "imports"
    "key"
  ];
  options = mergeAll (map (module: module.options) declaring);

  containers = mapAttrs (
    name: given:
    let
      pin = if given ? pin then pinOf given.pin else null;
      own = options.virtualisation.oci-containers.containers.type {
        inherit name;
        config = { inherit pin; };
        options.pull = { };
      };
    in
    {
      dependsOn = [ ];
    }
    // mergeAll (flatten own.config)
    // given
    // {
      inherit pin;
    }
  ) (given.virtualisation.oci-containers.containers or { });

  config = merge given {
    nix = {
      package = given.nix.package or nix;
      ociHashes =
        mapAttrs (_: option: option.default) options.nix.ociHashes // given.nix.ociHashes or { };
      settings = mergeAll (map (part: part.nix.settings or { }) parts);
    };
    virtualisation = {
      oci-containers = {
        backend = given.virtualisation.oci-containers.backend or "podman";
        inherit containers;
      };
      podman = {
        package = "/podman";
        enable = containers != { };
      };
      docker = {
        package = "/docker";
        enable = containers != { };
      };
    };
    security = { };
  };
  # What the modules set.
  parts = concatMap (module: flatten (module.config or { })) declaring;
  unitsOfModules = mergeAll (
    map (mapAttrs (_: unit: mergeAll (flatten unit))) (
      concatMap (part: flatten (part.systemd.services or { })) parts
    )
  );
  # The units of the containers, which wait for the network but for what the module does.
  unitsOfContainers = listToAttrs (
    map (
      container:
      let
        inherit (config.virtualisation.oci-containers) backend;
        name = "${backend}-${container}";
        own = unitsOfModules.${name} or { };
        unit = own // given.systemd.services.${name} or { };
        unitOptions =
          (options.systemd.services.type {
            inherit name;
            config = unit;
          }).options;
        dependencies = map (other: "${backend}-${other}.service") containers.${container}.dependsOn;
      in
      {
        inherit name;
        value = own // {
          wants = unitOptions.wants.apply [ "network-online.target" ];
          after = unitOptions.after.apply ([ "network-online.target" ] ++ dependencies ++ own.after or [ ]);
        };
      }
    ) (attrNames containers)
  );
in
{
  inherit config;
  inherit (config.nix) settings;
  images = mapAttrs (_: container: container.image) containers;
  files = mapAttrs (_: file: file.text) (mergeAll (map (part: part.environment.etc or { }) parts));
  services = unitsOfModules // unitsOfContainers;
  warnings = concatMap (part: part.warnings or [ ]) parts;
  failed = map (a: a.message) (
    filter (a: !a.assertion) (concatMap (part: part.assertions or [ ]) parts)
  );
}
