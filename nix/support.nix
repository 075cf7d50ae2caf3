# Which builds of the plugin there are, according to versions.txt, and which of them
# is for a package of Nix.
{ lib }:
let
  inherit (builtins)
    attrNames
    concatStringsSep
    elemAt
    filter
    isList
    map
    match
    readFile
    split
    ;

  rows =
    map
      (row: {
        flavour = elemAt row 0;
        first = elemAt row 1;
        last = elemAt row 2;
      })
      (
        filter isList (
          split "([a-z-]+) +([0-9.]+) +([0-9.]+|-) +[a-z-]+ +c[+][+]" (readFile ./versions.txt)
        )
      );

  of = flavour: filter (row: row.flavour == flavour) rows;

  # The names of the flavours' packages.
  flavours = {
    nix = "nix";
    lix = "lix";
    determinate-nix = "determinate";
  };

  isFor =
    version: row:
    lib.versionAtLeast version row.first
    && (row.last == "-" || lib.versionAtLeast row.last (lib.versions.majorMinor version));
in
rec {
  # The build for Nix's C API.
  cApi = {
    flavour = "c-api";
    name = "nix-c-api";
  };

  # The build for `nix`: { flavour, name }, `name` that of its file without the
  # extension. The flavour of the build for Nix's C API, which stands in for a
  # release without a build of its own, is `c-api`. `null` if nothing fits.
  buildOf =
    nix:
    let
      flavour = flavours.${lib.getName nix} or null;
      version = lib.getVersion nix;
      has = flavour: builtins.any (isFor version) (of flavour);
    in
    if flavour == null || nix.stdenv.hostPlatform.isStatic or false then
      null
    else if has flavour then
      {
        inherit flavour;
        name = "${flavour}-${version}";
      }
    else if flavour == "nix" && has "c-api" then
      cApi
    else
      null;

  # Whether `nix` has the headers of the C API that the build for it needs.
  hasCApi = nix: lib.getName nix == "nix" && builtins.any (isFor (lib.getVersion nix)) (of "c-api");

  isSupported = nix: buildOf nix != null;

  # What the builds are for, as text: `nix 2.8, nix 2.18 to 2.25`.
  supported = concatStringsSep ", " (
    map (
      row:
      if row.last == "-" then
        "nix from ${row.first} on"
      else if row.last == row.first then
        "${row.flavour} ${row.first}"
      else
        "${row.flavour} ${row.first} to ${row.last}"
    ) rows
  );

  # Those of `nixes` that have a build of their own, by name. Leaves out versions that
  # nixpkgs has dropped, which throw, and versions that it marks as insecure, which
  # would throw when built.
  supportedOf =
    nixes:
    let
      isExact = nix: (buildOf nix).flavour or "c-api" != "c-api";
      isUsable = nix: lib.isDerivation nix && isExact nix && nix.meta.available or true;
    in
    lib.filterAttrs (_: nix: (builtins.tryEval (isUsable nix)).value) nixes;

  # The releases in nixpkgs, by the names of their attributes.
  nixesOf =
    pkgs:
    let
      numbered = pattern: lib.filter (name: match pattern name != null);
      nixVersions = pkgs.nixVersions or { };
      lixes = pkgs.lixPackageSets or { };
    in
    lib.genAttrs (numbered "nix_[0-9_]+" (attrNames nixVersions)) (name: nixVersions.${name})
    // lib.genAttrs (numbered "lix_[0-9_]+" (attrNames lixes)) (name: lixes.${name}.lix);
}
