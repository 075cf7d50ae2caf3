# Stand-ins for the other programs that run containers: what their options become with
# the module of `pin`. `program` is `podman` (home-manager), `quadlet` or `arion`, and
# `given` a configuration.
{
  self,
  program,
  given,
  isHome ? false,
}:
let
  inherit (builtins)
    filter
    map
    mapAttrs
    ;
  inherit (import ./stand-in.nix { })
    lib
    pkgs
    merge
    mergeAll
    pinOf
    flatten
    ;

  # The module, where the containers are, and where a container has its pin and its image.
  programs = {
    podman = {
      module = import ../../nix/podman-module.nix { inherit self; };
      path = set: set.services.podman.containers;
      inPlace = containers: {
        services.podman = {
          enable = true;
          package = "/podman";
          inherit containers;
        };
      };
      defaults = {
        image = null;
        extraPodmanArgs = [ ];
      };
      pinIn = container: container;
      withPin = pin: { inherit pin; };
      imageOf = container: container.image;
    };
    quadlet = {
      module = import ../../nix/quadlet-module.nix { inherit self isHome; };
      path = set: set.virtualisation.quadlet.containers;
      inPlace = containers: { virtualisation.quadlet = { inherit containers; }; };
      defaults.containerConfig.image = null;
      pinIn = container: container;
      withPin = pin: { inherit pin; };
      imageOf = container: container.containerConfig.image;
    };
    arion = {
      module = import ../../nix/arion-module.nix { inherit self; };
      path = set: set.services;
      inPlace = services: { inherit services; };
      defaults.service.image = null;
      pinIn = container: container.service;
      withPin = pin: { service = { inherit pin; }; };
      imageOf = container: container.service.image;
    };
  };
  inherit (programs.${program})
    module
    path
    inPlace
    defaults
    pinIn
    withPin
    imageOf
    ;

  evaluated = module { inherit config lib pkgs; };
  imported = import ../../nix/pin-options.nix { inherit lib pkgs; };
  table = import ../../nix/table-option.nix { inherit lib; };
  ociHashes = imported.options.nix.ociHashes // table.options.nix.ociHashes;

  containers = mapAttrs (
    name: container:
    let
      written = (pinIn container).pin or null;
      pin = withPin (if written == null then null else pinOf written);
      own = (path evaluated.options).type {
        inherit name;
        config = merge defaults pin;
        options = { };
      };
    in
    merge (mergeAll ([ defaults ] ++ flatten own.config ++ [ container ])) pin
  ) (path given);

  config = merge (inPlace containers) {
    nix.ociHashes = mapAttrs (_: option: option.default) ociHashes // given.nix.ociHashes or { };
    virtualisation.podman.package = "/podman";
  };
  set = evaluated.config;
in
{
  images = mapAttrs (_: imageOf) containers;
  inherit containers;
  inherit (set) warnings;
  failed = map (a: a.message) (filter (a: !a.assertion) set.assertions);
  units = set.systemd or { };
}
