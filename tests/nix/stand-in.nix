# A stand-in for nixpkgs, with the few functions that the modules of nix-oci-hashes and
# the examples of the documentation use. It checks no types and merges only sets.
{
  system ? "x86_64-linux",
}:
let
  inherit (builtins)
    attrNames
    compareVersions
    concatMap
    elemAt
    foldl'
    isAttrs
    isList
    isString
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
    mkForce = same;
    mkOverride = _: same;
    mkMerge = same;
    literalExpression = same;
    types = {
      attrsOf = same;
      submodule = same;
      coercedTo =
        _: coerce: _:
        coerce;
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
    optionalString = condition: text: if condition then text else "";
    optional = condition: item: if condition then [ item ] else [ ];
    optionals = condition: items: if condition then items else [ ];
    escapeShellArg = text: "'${text}'";
    getName = package: package.pname;
    getVersion = package: package.version;
    versions.majorMinor =
      version: "${elemAt (splitVersion version) 0}.${elemAt (splitVersion version) 1}";
    versionAtLeast = a: b: compareVersions a b >= 0;
    versionOlder = a: b: compareVersions a b < 0;
  };

  pkgs = {
    stdenv = {
      hostPlatform = {
        inherit system;
        isLinux = true;
      };
      buildPlatform = { inherit system; };
    };
    runtimeShell = "/bin/bash";
    coreutils = "/usr";
    gnutar = "/usr";
    skopeo = "/skopeo";
    podman = "/podman";
    writeShellScript = name: text: "/${name}: ${text}";
    cacert = "/cacert";
    buildPackages = pkgs;
    callPackage = _: _: {
      outPath = "/nix-oci-hashes";
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

  # A `pin` as the module gets it: a string is coerced, and every option has a value.
  pinOf =
    pin:
    {
      version = null;
      variant = null;
      platform = null;
      digests = null;
      store = null;
    }
    // (if isString pin then { image = pin; } else pin);
  # The sets of nested `mkMerge`.
  flatten = value: if isList value then concatMap flatten value else [ value ];
in
{
  inherit
    lib
    pkgs
    merge
    mergeAll
    pinOf
    flatten
    ;
}
