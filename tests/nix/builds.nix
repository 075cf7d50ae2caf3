# The name of the build for each package of Nix in `packages`, or null, as
# nix/support.nix chooses it. `lib` has what it needs of nixpkgs' lib.
packages:
let
  inherit (builtins) compareVersions splitVersion;
  lib = {
    getName = package: package.pname;
    getVersion = package: package.version;
    versionAtLeast = one: other: compareVersions one other >= 0;
    versions.majorMinor =
      version:
      let
        numbers = splitVersion version;
      in
      "${builtins.elemAt numbers 0}.${builtins.elemAt numbers 1}";
  };
  support = import ../../nix/support.nix { inherit lib; };
in
map (package: (support.buildOf package).name or null) packages
