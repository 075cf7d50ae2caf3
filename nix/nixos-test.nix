# A NixOS machine with a registry in it: `pin` starts a container of the pinned
# image, and goes on to do so after the tag has moved.
{ self, pkgs }:
let
  inherit (pkgs) lib;
  inherit (pkgs.stdenv.hostPlatform) system;
  platform = self.lib.platformOf system;
  parts = lib.splitString "/" platform;
  image = import ./empty-image.nix {
    os = builtins.elemAt parts 0;
    arch = builtins.elemAt parts 1;
  };

  registry = "localhost:5000";
  name = "${registry}/demo/notes";

  # What `skopeo copy` takes for a tag, as blobs of an OCI image layout.
  layoutOf =
    label:
    let
      made = image label;
      hex = lib.removePrefix "sha256:";
    in
    pkgs.runCommand "layout" { } (
      ''
        mkdir -p $out/blobs/sha256
        printf '{"imageLayoutVersion":"1.0.0"}' >$out/oci-layout
        head -c 1024 /dev/zero >$out/blobs/sha256/${hex made.layerDigest}
      ''
      + lib.concatMapStrings (blob: ''
        cp ${pkgs.writeText "blob" blob.text} $out/blobs/sha256/${hex blob.digest}
      '') made.blobs
      + ''
        cp ${pkgs.writeText "index" made.layoutIndex} $out/index.json
      ''
    );
  push =
    label:
    "skopeo copy --all --preserve-digests --dest-tls-verify=false oci:${layoutOf label} docker://${name}:1";

  first = image "first";
  # Not a derivation, so that evaluation can read it without a build.
  table = builtins.toFile "digests.json" (
    builtins.toJSON {
      version = 1;
      images.${name}."1" = {
        digest = first.indexDigest;
        platforms.${platform} = first.manifestDigest;
      };
    }
  );
in
pkgs.testers.runNixOSTest {
  name = "nix-oci-hashes";

  nodes.machine =
    { options, pkgs, ... }:
    {
      imports = [ self.nixosModules.default ];
      virtualisation.diskSize = 4096;
      services.dockerRegistry.enable = true;
      environment.systemPackages = [ pkgs.skopeo ];
      nix.ociHashes = {
        enable = true;
        digests = table;
      };
      virtualisation.containers.registries =
        if options.virtualisation.containers.registries ? settings then
          {
            settings.registry = [
              {
                location = registry;
                insecure = true;
              }
            ];
          }
        else
          { insecure = [ registry ]; };
      virtualisation.oci-containers = {
        backend = "podman";
        containers.notes = {
          pin = "${name}:1";
          autoStart = false;
          # The image is empty, so the container runs a program of the machine.
          volumes = [ "/nix/store:/nix/store:ro" ];
          entrypoint = lib.getExe' pkgs.pkgsStatic.busybox "busybox";
          cmd = [
            "sleep"
            "infinity"
          ];
        };
      };
    };

  testScript = ''
    machine.wait_for_unit("docker-registry.service")
    machine.wait_for_open_port(5000)

    machine.succeed("${push "first"}")
    machine.succeed("systemctl start podman-notes.service")
    machine.wait_until_succeeds("podman ps --format '{{.Image}}' | grep '@${first.manifestDigest}'")

    # The tag moves. The service still runs the pinned image, pulled anew.
    machine.succeed("${push "second"}")
    machine.succeed("systemctl stop podman-notes.service")
    machine.succeed("podman rmi --all --force")
    machine.succeed("systemctl start podman-notes.service")
    machine.wait_until_succeeds("podman ps --format '{{.Image}}' | grep '@${first.manifestDigest}'")

    # The builtin in the machine's Nix gives the pinned digest, too.
    machine.succeed(
        "nix --extra-experimental-features nix-command eval --impure --raw"
        " --expr 'builtins.ociHash \"${name}:1\"' | grep '${first.indexDigest}'"
    )
  '';
}
