# What nix/module.nix makes of a configuration, with a small stand-in for the few
# functions of nixpkgs' lib that it takes: no types are checked and no options
# merged. The check `module` of the flake evaluates it within a real NixOS.
{
  configuration,
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
    concatMap
    elemAt
    foldl'
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

  module = import ../../nix/module.nix { self = ../..; } { inherit config lib pkgs; };
  given = configuration.nix.ociHashes or { };
  config = {
    nix = {
      package = nix;
      ociHashes = mapAttrs (_: option: option.default) module.options.nix.ociHashes // given;
    };
    virtualisation.oci-containers.containers = mapAttrs container (
      configuration.virtualisation.oci-containers.containers or { }
    );
  };
  container =
    name: given:
    let
      pin = given.pin or null;
      own = module.options.virtualisation.oci-containers.containers.type {
        inherit name;
        config = { inherit pin; };
      };
    in
    given
    // {
      inherit pin;
      image = given.image or own.config.image;
    };

  parts = module.config;
in
{
  settings = foldl' (settings: part: settings // part.nix.settings or { }) { } parts;
  failed = map (a: a.message) (
    builtins.filter (a: !a.assertion) (concatMap (part: part.assertions or [ ]) parts)
  );
  images = mapAttrs (_: container: container.image) config.virtualisation.oci-containers.containers;
}
