# The plugin for a list of packages of Nix behind one loader, for machines on which
# several are used.
{
  lib,
  runCommand,
  plugin,
  pkgs,
  support ? import ./support.nix { inherit lib; },
  # The packages of Nix to build for, of any flavour.
  nixes ? builtins.attrValues (support.supportedOf (support.nixesOf pkgs)),
}:
let
  # For releases that come later.
  newest = lib.foldl' (
    newest: nix:
    if support.hasCApi nix && (newest == null || lib.versionOlder newest.version nix.version) then
      nix
    else
      newest
  ) null nixes;
  builds =
    map (nix: plugin.override { inherit nix; }) (lib.unique nixes)
    ++ lib.optional (newest != null) (
      plugin.override {
        nix = newest;
        isForCApi = true;
      }
    );
  first = builtins.head builds;
in
runCommand "nix-oci-hashes-plugins"
  {
    passthru = {
      inherit builds;
      inherit (first) pluginFile;
    };
    meta = first.meta // {
      description = "builtins.ociHash, for several flavours and versions of Nix";
    };
  }
  ''
    # Copied, not linked: the loader resolves links before it looks for the builds beside it.
    install -Dm755 ${first}/${first.pluginFile} $out/${first.pluginFile}
    mkdir $out/lib/nix-oci-hashes
    for build in ${toString builds}; do
      ln -sf $build/lib/nix-oci-hashes/* $out/lib/nix-oci-hashes/
    done
  ''
