# The units of home-manager that load images from the Nix store.
{ pins, pkgs }:
{
  # The unit that loads the image of a pin, which `service` requires. `path` is that of
  # the option `pin`, `podman` a package.
  load =
    {
      path,
      pin,
      podman,
      service,
    }:
    let
      script = pkgs.writeShellScript "load-image" (
        pins.loadInPodman {
          inherit path pin;
          podman = "${podman}/bin/podman";
          skopeo = "${pkgs.skopeo}/bin/skopeo";
        }
      );
    in
    {
      name = "${service}-pin";
      value = {
        Unit = {
          Description = "Image of ${service}, from the Nix store";
          Before = [ "${service}.service" ];
        };
        Install.RequiredBy = [ "${service}.service" ];
        Service = {
          Type = "oneshot";
          # newuidmap and newgidmap, on NixOS and elsewhere.
          Environment = [ "PATH=/run/wrappers/bin:/run/current-system/sw/bin:/usr/bin:/bin" ];
          ExecStart = "${script}";
        };
      };
    };
}
