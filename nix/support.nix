# Which packages of Nix the plugin can be built for, by versions.txt.
{ lib }:
let
  isRow = line: line != "" && !lib.hasPrefix "#" line;
  rows = map (line: lib.filter (word: word != "") (lib.splitString " " line)) (
    lib.filter isRow (lib.splitString "\n" (builtins.readFile ./versions.txt))
  );
  flavour = row: lib.elemAt row 0;
  first = row: lib.elemAt row 1;
  last = row: lib.elemAt row 2;
in
rec {
  isSupported =
    nix:
    let
      series = lib.versions.majorMinor nix.version;
      fits =
        row:
        flavour row == lib.getName nix
        && lib.versionAtLeast series (first row)
        && lib.versionAtLeast (last row) series;
    in
    lib.any fits rows;

  # The versions, for people: `nix 2.8 to 2.8, nix 2.18 to 2.30`.
  supported = lib.concatMapStringsSep ", " (row: "${flavour row} ${first row} to ${last row}") rows;

  # The supported releases among nixpkgs' `nixVersions`, by their attributes.
  # Those that nixpkgs has dropped throw, and those it marks as insecure would.
  supportedOf =
    nixVersions:
    lib.filterAttrs (
      name: nix:
      builtins.match "nix_[0-9_]+" name != null
      && (builtins.tryEval (lib.isDerivation nix && isSupported nix && nix.meta.available or true)).value
    ) nixVersions;
}
