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
      # Later releases of nixpkgs have no packages for it. For the other systems, this must
      # not look into nixpkgs: see packagesOf.
      isDropped = system: system == "x86_64-darwin" && !(nixpkgs.legacyPackages ? ${system});
      # Does not use nixpkgs' lib: some outputs must evaluate without nixpkgs.
      forEachSystem =
        outputs:
        builtins.listToAttrs (
          map (system: {
            name = system;
            value = if isDropped system then { } else outputs nixpkgs.legacyPackages.${system};
          }) systems
        );
      # The key lets two modules of one configuration import it.
      module = name: value: {
        _file = ./flake.nix;
        key = "nix-oci-hashes#${name}";
        imports = [ value ];
      };
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

      nixosModules = {
        default = module "nixosModules.default" (import ./nix/module.nix { inherit self; });
        quadlet = module "nixosModules.quadlet" (
          import ./nix/quadlet-module.nix {
            inherit self;
            isHome = false;
          }
        );
      };
      homeModules = {
        default = module "homeModules.default" {
          imports = [
            ./nix/plugin-module.nix
            (import ./nix/podman-module.nix { inherit self; })
          ];
        };
        quadlet = module "homeModules.quadlet" (
          import ./nix/quadlet-module.nix {
            inherit self;
            isHome = true;
          }
        );
      };
      arionModules.default = module "arionModules.default" (
        import ./nix/arion-module.nix { inherit self; }
      );
      # The plugin for the Nix of nix-darwin.
      darwinModules.default = ./nix/plugin-module.nix;

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

      formatter = removeAttrs (forEachSystem (pkgs: pkgs.nixfmt-tree)) (
        builtins.filter isDropped systems
      );
    };
}
