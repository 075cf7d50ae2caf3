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
    concatMap
    elemAt
    filter
    foldl'
    isAttrs
    isFunction
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
      hostPlatform = { inherit system; };
      buildPlatform = { inherit system; };
    };
    runtimeShell = "/bin/bash";
    coreutils = "/usr";
    gnutar = "/usr";
    skopeo = "/skopeo";
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
      podman.package = "/podman";
      docker.package = "/docker";
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
        unitOptions = (options.systemd.services.type { inherit name; }).options;
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
