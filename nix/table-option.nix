# The table of pins, for `pin` and for the plugin.
{ lib, ... }:
let
  inherit (lib) literalExpression mkOption types;
in
{
  options.nix.ociHashes.digests = mkOption {
    type = types.nullOr types.path;
    default = null;
    example = literalExpression "./digests.json";
    description = ''
      The table of pins of `builtins.ociHash` in impure evaluation (the setting
      `oci-hash-digests`), and of `pin`. Null stands for the one that comes
      with nix-oci-hashes.
    '';
  };
}
