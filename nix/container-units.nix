# The systemd units of images in the Nix store: those that load them, and those that
# remove them.
{
  config,
  lib,
  pkgs,
  # The image of a pin, as lib.image gives it.
  imageOf,
  # The command that loads the image of a pin, and the path of a container's pin.
  loadInPodman,
  pathOf,
  # The containers whose images are in the store.
  stored,
}:
let
  inherit (lib)
    escapeShellArg
    filterAttrs
    mkIf
    mkMerge
    mkOption
    optional
    optionals
    ;
  inherit (builtins)
    attrNames
    attrValues
    concatStringsSep
    elem
    filter
    listToAttrs
    mapAttrs
    ;
  inherit (config.virtualisation.oci-containers) backend;

  # The repository whose tags mark the images that load units have loaded.
  marks = "localhost/nix-oci-hashes";
  tagOf = image: builtins.head (builtins.match ".*:(.*)" image.loadedName);

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
      ]
      # What a storage driver needs.
      ++ (config.virtualisation.podman.extraPackages or [ ])
      ++ optional (config.boot.supportedFilesystems.zfs or false) config.boot.zfs.package;
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
      mark = escapeShellArg "${marks}:${tagOf image}";
    in
    if backend == "docker" then
      ''
        if ! docker image inspect ${loadedName} >/dev/null 2>&1; then
          ${image.stream} | docker load --quiet
          docker tag ${loadedName} ${mark}
        fi
      ''
    else
      loadInPodman {
        path = pathOf name;
        inherit (container) pin;
        mark = "${marks}:${tagOf image}";
      };

  # The unit that loads the image of a container, which the container's own unit requires.
  unitsOf =
    name: container:
    let
      service = serviceOf name container;
      load = "${service}-image";
      user = userOf container;
      lingers = user != "root" && (config.users.users.${user}.linger or null) == true;
    in
    {
      ${load} = mkMerge [
        {
          description = "Image of the container ${name}, from the Nix store";
          after = dockerUnits ++ optional lingers "linger-users.service";
          requires = dockerUnits;
          path = tools;
          script = loadScript name container;
          serviceConfig.Type = "oneshot";
        }
        (asUser user)
      ];
      ${service} = {
        after = [ "${load}.service" ];
        requires = [ "${load}.service" ];
      };
    };

  # Removes the images that a load unit has loaded for this user, and that no container
  # runs any more. Those of running containers stay.
  pruneUnitOf =
    user:
    let
      own = attrNames (filterAttrs (_: container: userOf container == user) stored);
      tags = map (name: tagOf (imageOf stored.${name}.pin)) own;
    in
    {
      name = "oci-image-prune${if user == "root" then "" else "-${user}"}";
      value = mkMerge [
        {
          description = "Removal of images that no container of this configuration runs";
          wantedBy = [ "multi-user.target" ];
          after = dockerUnits ++ map (name: "${serviceOf name stored.${name}}.service") own;
          path = tools;
          # The mark goes last: what could not be removed is tried again.
          script = ''
            tags=${escapeShellArg (concatStringsSep " " tags)}
            images=$(${backend} images --format '{{.Repository}}:{{.Tag}}')
            for mark in $images; do
              tag=''${mark##*:}
              if [ "$mark" != "${marks}:$tag" ] || [[ " $tags " = *" $tag "* ]]; then
                continue
              fi
              for image in $images; do
                if [ "$image" != "$mark" ] && [ "''${image##*:}" = "$tag" ]; then
                  ${backend} rmi "$image" || true
                fi
              done
              ${backend} rmi "$mark" || true
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
  # The module of a systemd service. The real module lets a container wait for the network,
  # unless its image is a file. A container that requires the network still does.
  withoutNetwork =
    { name, config, ... }:
    let
      network = "network-online.target";
      isStored = elem name (attrValues (mapAttrs serviceOf stored));
      isFree = isStored && !elem network (config.requires or [ ]);
      apply = units: if isFree then filter (unit: unit != network) units else units;
    in
    {
      options.after = mkOption { inherit apply; };
      options.wants = mkOption { inherit apply; };
    };

  # For each container, its load unit and the changes of its own.
  load = attrValues (mapAttrs unitsOf stored);
  # For each user, a unit that removes images.
  prune = map (user: listToAttrs [ (pruneUnitOf user) ]) users;
}
