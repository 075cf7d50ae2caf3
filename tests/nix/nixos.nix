# A stand-in for nixpkgs' lib.nixosSystem, with the few functions that the module
# of nix-oci-hashes and the examples of the documentation use. It checks no types and
# merges only sets. The check `module` of the flake evaluates the module in a real
# NixOS.
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
    compareVersions
    concatLists
    concatMap
    elemAt
    filter
    foldl'
    isAttrs
    isFunction
    listToAttrs
    map
    mapAttrs
    splitVersion
    ;
  same = value: value;
  lib = {
    mkOption = same;
    mkEnableOption = _: { default = false; };
    mkIf = condition: value: if condition then value else { };
    mkDefault = same;
    mkMerge = same;
    literalExpression = same;
    types = {
      attrsOf = same;
      submodule = same;
      either = _: same;
      nullOr = same;
      listOf = same;
      ints.between = _: _: null;
    }
    // listToAttrs (
      map
        (name: {
          inherit name;
          value = null;
        })
        [
          "bool"
          "package"
          "path"
          "str"
        ]
    );
    filterAttrs =
      keep: set:
      listToAttrs (
        concatMap (
          name:
          if keep name set.${name} then
            [
              {
                inherit name;
                value = set.${name};
              }
            ]
          else
            [ ]
        ) (attrNames set)
      );
    optionalAttrs = condition: set: if condition then set else { };
    getName = package: package.pname;
    getVersion = package: package.version;
    versions.majorMinor =
      version: "${elemAt (splitVersion version) 0}.${elemAt (splitVersion version) 1}";
    versionAtLeast = a: b: compareVersions a b >= 0;
    versionOlder = a: b: compareVersions a b < 0;
  };

  pkgs = {
    stdenv.hostPlatform = { inherit system; };
    callPackage = _: _: {
      override =
        { nix }:
        {
          outPath = "/plugin-for-${nix.version}";
          pluginFile = "lib/nix/plugins/libnix_oci_hashes.so";
        };
    };
  };

  merge =
    a: b:
    a
    // mapAttrs (
      name: value: if isAttrs value && isAttrs (a.${name} or null) then merge a.${name} value else value
    ) b;
  mergeAll = foldl' merge { };

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
      pin = given.pin or null;
      own = options.virtualisation.oci-containers.containers.type {
        inherit name;
        config = { inherit pin; };
      };
    in
    given
    // {
      inherit pin;
      image = given.image or own.config.image;
    }
  ) (given.virtualisation.oci-containers.containers or { });

  config = merge given {
    nix = {
      package = given.nix.package or nix;
      ociHashes =
        mapAttrs (_: option: option.default) options.nix.ociHashes // given.nix.ociHashes or { };
      settings = mergeAll (map (part: part.nix.settings or { }) parts);
    };
    virtualisation.oci-containers.containers = containers;
  };
  # The settings of the module: its `config` is the list that it gives to mkMerge.
  parts = concatLists (map (module: module.config) declaring);
in
{
  inherit config;
  inherit (config.nix) settings;
  images = mapAttrs (_: container: container.image) containers;
  failed = map (a: a.message) (
    filter (a: !a.assertion) (concatMap (part: part.assertions or [ ]) parts)
  );
}
