# The plugin for a list of Nix versions behind one loader, for machines on which
# several are used.
{
  lib,
  runCommand,
  plugin,
  nixVersions,
  # The Nix packages to build for.
  nixes ? builtins.attrValues ((import ./support.nix { inherit lib; }).supportedOf nixVersions),
}:
let
  builds = map (nix: plugin.override { inherit nix; }) (lib.unique nixes);
  first = builtins.head builds;
in
runCommand "nix-oci-hashes-plugins"
  {
    passthru = {
      inherit builds;
      inherit (first) pluginFile;
    };
    meta = first.meta // {
      description = "builtins.ociHash, for several versions of Nix";
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
