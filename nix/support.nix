# Which packages of Nix the plugin can be built for: see docs/nix-versions.md.
{ lib }:
rec {
  isSupported =
    nix:
    lib.getName nix == "nix"
    && (
      lib.versions.majorMinor nix.version == "2.8"
      || lib.versionAtLeast nix.version "2.18" && lib.versionOlder nix.version "2.90"
    );

  # What `isSupported` wants, for people.
  supported = "Nix 2.8, or Nix 2.18 and later (not Lix, not Determinate Nix)";

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
