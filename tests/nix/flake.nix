{
  description = "A stand-in for nixpkgs in the tests: see nixos.nix";

  outputs = _: {
    lib.nixosSystem = args: import ./nixos.nix { inherit (args) modules system; };
  };
}
