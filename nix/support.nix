# Which Nix packages the plugin can be built for, according to versions.txt.
{ lib }:
let
  inherit (builtins)
    any
    concatStringsSep
    elemAt
    filter
    isList
    map
    match
    readFile
    split
    ;

  # { flavour, first, last } of each row.
  rows = map (row: {
    flavour = elemAt row 0;
    first = elemAt row 1;
    last = elemAt row 2;
  }) (filter isList (split "([a-z]+) +([0-9.]+) +([0-9.]+) +c[+][+]" (readFile ./versions.txt)));
in
rec {
  isSupported =
    nix:
    let
      series = lib.versions.majorMinor nix.version;
    in
    any (
      row:
      row.flavour == lib.getName nix
      && lib.versionAtLeast series row.first
      && lib.versionAtLeast row.last series
    ) rows;

  # The supported versions as text: `nix 2.8 to 2.8, nix 2.18 to 2.30`.
  supported = concatStringsSep ", " (map (row: "${row.flavour} ${row.first} to ${row.last}") rows);

  # The supported releases among nixpkgs' `nixVersions`, by their attributes.
  # Leaves out versions that nixpkgs has dropped, which throw, and versions that it
  # marks as insecure, which would throw when built.
  supportedOf =
    nixVersions:
    lib.filterAttrs (
      name: nix:
      match "nix_[0-9_]+" name != null
      && (builtins.tryEval (lib.isDerivation nix && isSupported nix && nix.meta.available or true)).value
    ) nixVersions;
}
