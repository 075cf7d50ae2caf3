# The NixOS module: the plugin for the system's Nix, and `pin` for containers.
{ self }:
{
  imports = [
    ./plugin-module.nix
    (import ./containers.nix { inherit self; })
  ];
}
