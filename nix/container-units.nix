# The systemd units of images in the Nix store: those that load them, and those that
# remove them.
{
  config,
  lib,
  pkgs,
  # The image of a pin, as lib.image gives it.
  imageOf,
  # The reference of a container's pin.
  referenceOf,
  # The containers whose images are in the store.
  stored,
}:
let
  inherit (lib)
    escapeShellArg
    filterAttrs
    mkForce
    mkIf
    mkMerge
    optional
    optionals
    ;
  inherit (builtins)
    attrNames
    attrValues
    concatStringsSep
    listToAttrs
    mapAttrs
    ;
  inherit (config.virtualisation.oci-containers) backend containers;

  serviceOf = name: container: container.serviceName or "${backend}-${name}";
  userOf = container: if backend == "podman" then container.podman.user or "root" else "root";
  tools =
    if backend == "docker" then
      [ config.virtualisation.docker.package ]
    else
      [
        config.virtualisation.podman.package
        pkgs.skopeo
        # newuidmap and newgidmap, for containers of other users than root.
        "/run/wrappers"
      ];
  dockerUnits = optionals (backend == "docker") [
    "docker.service"
    "docker.socket"
  ];

  # What systemd needs to know of a unit that runs as this user.
  asUser =
    user:
    mkIf (user != "root") {
      environment.HOME = config.users.users.${user}.home;
      serviceConfig.User = user;
      unitConfig.RequiresMountsFor = "/run/user/${toString config.users.users.${user}.uid}/containers";
    };

  loadScript =
    name: container:
    let
      image = imageOf container.pin;
      loadedName = escapeShellArg image.loadedName;
    in
    if backend == "docker" then
      ''
        if ! docker image inspect ${loadedName} >/dev/null 2>&1; then
          ${image.stream} | docker load --quiet
        fi
      ''
    else
      ''
        if ! podman image exists ${escapeShellArg (referenceOf name container.pin)}; then
          skopeo --insecure-policy copy --quiet oci:${image.layout} containers-storage:${loadedName}
        fi
      '';

  # The unit that loads the image of a container, and the changes of the container's own
  # unit, which otherwise waits for the network.
  unitsOf =
    name: container:
    let
      service = serviceOf name container;
      load = "${service}-image";
      user = userOf container;
      account = config.users.users.${user};
      lingers = optional (user != "root" && (account.linger or false)) "linger-users.service";
      userUnits = optional (
        user != "root" && (container.podman.sdnotify or "conmon") == "healthy"
      ) "user@${toString account.uid}.service";
      dependencies = map (other: "${serviceOf other containers.${other}}.service") container.dependsOn;
    in
    {
      ${load} = mkMerge [
        {
          description = "Image of the container ${name}, from the Nix store";
          after = dockerUnits ++ lingers;
          requires = dockerUnits;
          path = tools;
          script = loadScript name container;
          serviceConfig.Type = "oneshot";
        }
        (asUser user)
      ];
      ${service} = {
        wants = mkForce lingers;
        after = mkForce (dockerUnits ++ dependencies ++ lingers ++ userUnits ++ [ "${load}.service" ]);
        requires = [ "${load}.service" ];
      };
    };

  # Removes the images that a load unit has loaded for this user, and that no container
  # runs any more. Those of running containers stay.
  pruneUnitOf =
    user:
    let
      own = attrNames (filterAttrs (_: container: userOf container == user) stored);
      tagOf = name: builtins.head (builtins.match ".*:(.*)" (imageOf stored.${name}.pin).loadedName);
    in
    {
      name = "oci-image-prune${if user == "root" then "" else "-${user}"}";
      value = mkMerge [
        {
          description = "Removal of images that no container of this configuration runs";
          wantedBy = [ "multi-user.target" ];
          after = dockerUnits ++ map (name: "${serviceOf name stored.${name}}.service") own;
          path = tools ++ [ pkgs.gnugrep ];
          script = ''
            tags=${escapeShellArg (concatStringsSep " " (map tagOf own))}
            ${backend} images --format '{{.Repository}}:{{.Tag}}' |
              { grep -E ':sha(256-[0-9a-f]{64}|512-[0-9a-f]{128})$' || true; } |
              while read -r image; do
                case " $tags " in
                  *" ''${image##*:} "*) ;;
                  *) ${backend} rmi "$image" || true ;;
                esac
              done
          '';
          serviceConfig.Type = "oneshot";
        }
        (asUser user)
      ];
    };
  users = attrNames (
    listToAttrs (
      map (user: {
        name = user;
        value = null;
      }) ([ "root" ] ++ map userOf (attrValues stored))
    )
  );
in
{
  # For each container, its load unit and the changes of its own.
  load = attrValues (mapAttrs unitsOf stored);
  # For each user, a unit that removes images.
  prune = map (user: listToAttrs [ (pruneUnitOf user) ]) users;
}
