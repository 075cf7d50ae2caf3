{
  description = "Pinned OCI image references for Nix: one table of digests, kept fresh";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";

  outputs =
    { self, nixpkgs }:
    let
      systems = [
        "x86_64-linux"
        "aarch64-linux"
        "x86_64-darwin"
        "aarch64-darwin"
      ];
      # Does not use nixpkgs' lib: some outputs must evaluate without nixpkgs.
      forEachSystem =
        outputs:
        builtins.listToAttrs (
          map (system: {
            name = system;
            value = outputs nixpkgs.legacyPackages.${system};
          }) systems
        );
      # The names are listed here, so that they evaluate without nixpkgs: Nix
      # searches the packages first, whichever output is requested.
      packagesOf = pkgs: {
        inherit (import ./nix/packages.nix { inherit pkgs; })
          default
          nix-oci-hashes
          plugin
          plugins
          propose-refresh
          ;
      };
    in
    {
      # The data: these evaluate offline and without nixpkgs.
      ociHashes = import ./nix/oci-hashes.nix {
        digests = ./digests.json;
        images = ./images.json;
      };
      lib = import ./nix/lib.nix { digests = ./digests.json; };

      overlays.default = import ./nix/overlay.nix;

      packages = forEachSystem packagesOf;

      apps = forEachSystem (pkgs: rec {
        default = nix-oci-hashes;
        nix-oci-hashes = {
          type = "app";
          program = pkgs.lib.getExe (packagesOf pkgs).nix-oci-hashes;
          meta.description = "Follow the registries, and look up what is pinned";
        };
      });

      # The key lets two modules of one configuration import it.
      nixosModules.default = {
        _file = ./nix/module.nix;
        key = "nix-oci-hashes#nixosModules.default";
        imports = [ (import ./nix/module.nix { inherit self; }) ];
      };

      # The plugin for the Nix of nix-darwin, and for that of home-manager.
      darwinModules.default = ./nix/plugin-module.nix;
      homeModules.default = ./nix/plugin-module.nix;

      templates.default = {
        path = ./nix/template;
        description = "A NixOS configuration with two pinned containers";
        welcomeText = ''
          configuration.nix runs two containers whose images are pinned. Put in your
          hardware's settings, then

              nixos-rebuild switch --flake .#machine

          The images stay as they are until you take a newer table of pins:

              nix flake update nix-oci-hashes
        '';
      };

      checks = forEachSystem (pkgs: import ./nix/checks.nix { inherit self pkgs; });

      devShells = forEachSystem (pkgs: {
        default = import ./nix/shell.nix { inherit pkgs; };
      });

      formatter = forEachSystem (pkgs: pkgs.nixfmt-tree);
    };
}
