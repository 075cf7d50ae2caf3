# The checks that need nixpkgs. `nix flake check` runs all of them, and
# `nix build .#checks.x86_64-linux.NAME` runs one.
{ self, pkgs }:
let
  inherit (pkgs) lib;
  inherit (pkgs.stdenv.hostPlatform) isLinux system;
  packages = self.packages.${system};
  support = import ./support.nix { inherit lib; };

  # A check by evaluation: fails unless `wrong` is empty.
  evaluates =
    name: wrong:
    if wrong == [ ] then
      pkgs.runCommand name { } "touch $out"
    else
      throw "${name}: ${builtins.toJSON wrong}";

  cases = lib.importJSON ../tests/cases/lookup.json;
  inherit (import ./lib/lookup.nix) lookup;
  names = import ./lib/name.nix;
  table = (import ./lib/table.nix).load cases.digests;
  wrongCases = lib.filter (
    case:
    let
      result = lookup table case.argument;
    in
    # Plain Nix shows characters outside printable ASCII differently: `plain` is its text.
    (result.error or null) != case.plain or case.error or null
    || (if result ? value then names.toText result.value else null) != case.answer or null
  ) cases.cases;

  # Runs every case with the builtin in a real Nix.
  answersOf =
    { nix, plugin }:
    pkgs.runCommand "nix-oci-hashes-in-${lib.getName nix}-${nix.version}"
      { nativeBuildInputs = [ nix ]; }
      ''
        export HOME=$TMPDIR NIX_STATE_DIR=$TMPDIR/state
        export NIX_CONFIG="
          experimental-features = nix-command
          plugin-files = ${plugin}/${plugin.pluginFile}
        "
        # A copy outside the Nix store, whose files the dummy store does not have.
        cp ${../tests/cases/lookup.json} cases.json
        nix eval --store dummy:// --impure --raw --expr '
          let
            file = builtins.fromJSON (builtins.readFile ./cases.json);
            ask = argument: builtins.ociHash (
              (if builtins.isString argument then { image = argument; } else argument)
              // { inherit (file) digests; }
            );
            isRight = case:
              if case ? answer then ask case.argument == case.answer
              else !(builtins.tryEval (ask case.argument)).success;
            wrong = builtins.filter (case: !isRight case) file.cases;
          in
          if wrong == [ ] then "right" else throw (builtins.toJSON wrong)
        ' 2>errors | tee answer
        cat errors
        # The loader must not print a warning.
        if grep nix-oci-hashes errors; then exit 1; fi
        test "$(cat answer)" = right
        touch $out
      '';

  # A NixOS configuration with the module and the template.
  nixos =
    modules:
    import (pkgs.path + "/nixos/lib/eval-config.nix") {
      inherit system;
      modules = [
        self.nixosModules.default
        ./template/configuration.nix
      ]
      ++ modules;
    };
  failedIn =
    modules: map (a: a.message) (lib.filter (a: !a.assertion) (nixos modules).config.assertions);
  container = value: { virtualisation.oci-containers.containers.nextcloud = lib.mkForce value; };
  expectFailure =
    name: modules: part:
    let
      failed = failedIn modules;
    in
    if lib.any (lib.hasInfix part) failed then [ ] else [ { inherit name failed; } ];
  settings = (nixos [ { nix.ociHashes.enable = true; } ]).config.nix.settings;

  # An image in the store. Its blobs do not exist: nothing of it is built.
  stored =
    backend: user:
    (nixos [
      {
        nix.ociHashes = {
          digests = ../tests/nix/store/digests.json;
          store = true;
          prune = true;
        };
        virtualisation.oci-containers = {
          inherit backend;
          containers = lib.mkForce {
            app = {
              pin = "registry.example/app:1";
            }
            // lib.optionalAttrs (user != null) { podman = { inherit user; }; };
          };
        };
        users.users = lib.optionalAttrs (user != null) { ${user}.isNormalUser = true; };
        systemd.services."${backend}-app".after = [ "mine.service" ];
      }
    ]).config.systemd.services;
  wrongUnits =
    lib.concatMap
      (
        { backend, user }:
        let
          units = stored backend user;
          script = builtins.unsafeDiscardStringContext units."${backend}-app-image".script;
          unit = units."${backend}-app";
        in
        lib.optional
          (
            !lib.hasInfix "app:sha256-" script
            || lib.elem "network-online.target" (unit.after ++ unit.wants)
            || !lib.elem "${backend}-app-image.service" unit.requires
            || !lib.elem "mine.service" unit.after
            || !units ? oci-image-prune
          )
          {
            inherit
              backend
              user
              script
              unit
              ;
          }
      )
      [
        {
          backend = "podman";
          user = null;
        }
        {
          backend = "podman";
          user = "me";
        }
        {
          backend = "docker";
          user = null;
        }
      ];
in
{
  lib = evaluates "lookup-in-plain-nix" wrongCases;
  command = packages.nix-oci-hashes;
  format = pkgs.runCommand "format" { nativeBuildInputs = [ pkgs.nixfmt ]; } ''
    nixfmt --check ${../flake.nix} $(find ${../nix} ${../tests/nix} -name '*.nix')
    touch $out
  '';
}
// lib.optionalAttrs isLinux {
  plugins = answersOf {
    inherit (pkgs) nix;
    plugin = packages.plugins;
  };
}
// lib.mapAttrs' (
  name: nix:
  lib.nameValuePair "plugin-${name}" (answersOf {
    inherit nix;
    plugin = packages.plugin.override { inherit nix; };
  })
) (if isLinux then support.supportedOf (support.nixesOf pkgs) else { })
// lib.optionalAttrs isLinux {
  template = (nixos [ ]).config.system.build.toplevel;
  module = evaluates "nixos-module" (
    failedIn [ { nix.ociHashes.enable = true; } ]
    ++ expectFailure "not tracked" [ (container { pin = "nextclud:34"; }) ] "is not tracked"
    ++ expectFailure "pin and image" [
      (container {
        pin = "nextcloud:34";
        image = "nextcloud:33";
      })
    ] "has both 'pin' and 'image'"
    ++ failedIn [
      {
        nix.ociHashes.enable = true;
        nix.package = pkgs.lix;
      }
    ]
    ++ expectFailure "an unknown flavour" [
      {
        nix.ociHashes.enable = true;
        nix.package = pkgs.lix // {
          pname = "another-nix";
        };
      }
    ] "the plugin cannot be built for another-nix"
    ++ expectFailure "pin and a weaker image" [
      (container {
        pin = "nextcloud:34";
        image = lib.mkDefault "nextcloud:33";
      })
    ] "has both 'pin' and 'image'"
    ++ expectFailure "pin and imageFile" [
      (container {
        pin = "nextcloud:34";
        imageFile = pkgs.emptyFile;
      })
    ] "has both 'pin' and 'imageFile'"
    # A string in one module and a set in another are one pin.
    ++ failedIn [
      { virtualisation.oci-containers.containers.nextcloud.pin.platform = system; }
    ]
    ++ wrongUnits
    ++ lib.optional (!lib.hasSuffix ".so" (toString settings.plugin-files)) settings
  );
  nixos = import ./nixos-test.nix { inherit self pkgs; };
}
