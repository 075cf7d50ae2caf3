# Replace `fileSystems` and `boot` by those of your hardware-configuration.nix.
#
# The containers stay as they are until the table of pins is updated:
#
#   nix flake update nix-oci-hashes
{
  virtualisation.oci-containers = {
    backend = "podman";
    containers = {
      # The newest pin of this tag, for the platform of this machine.
      nextcloud = {
        pin = "docker.io/nextcloud:34";
        ports = [ "127.0.0.1:8080:80" ];
        volumes = [ "nextcloud:/var/www/html" ];
      };

      # The highest pinned version that satisfies a requirement.
      postgres = {
        pin = {
          image = "docker.io/postgres";
          version = "^17";
        };
        environment.POSTGRES_PASSWORD = "change me";
        volumes = [ "postgres:/var/lib/postgresql/data" ];
      };
    };
  };

  fileSystems."/" = {
    device = "/dev/disk/by-label/nixos";
    fsType = "ext4";
  };
  boot.loader.systemd-boot.enable = true;
  networking.hostName = "machine";
  system.stateVersion = "26.05";
}
