{
  description = "A NixOS machine with two pinned containers";

  inputs = {
    nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";
    nix-oci-hashes = {
      url = "github:nilp0inter/nix-oci-hashes";
      inputs.nixpkgs.follows = "nixpkgs";
    };
  };

  outputs =
    { nixpkgs, nix-oci-hashes, ... }:
    {
      nixosConfigurations.machine = nixpkgs.lib.nixosSystem {
        system = "x86_64-linux";
        modules = [
          nix-oci-hashes.nixosModules.default
          ./configuration.nix
        ];
      };
    };
}
