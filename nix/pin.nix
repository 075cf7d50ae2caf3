# `pin`: the option, and what it means, for the containers of any program. `config` has
# the options of pin-options.nix.
{
  self,
  config,
  lib,
  pkgs,
}:
let
  inherit (lib)
    filterAttrs
    literalExpression
    mkOption
    optional
    optionalAttrs
    optionalString
    optionals
    types
    ;

  cfg = config.nix.ociHashes;
  names = import ./lib/name.nix;
  tables = import ./lib/table.nix;
  inherit (import ./lib/lookup.nix) lookup;

  table = if cfg.digests == null then self + "/digests.json" else cfg.digests;
  # Read once, however many containers there are.
  loaded = tables.load table;
  buildImage = import ./lib/image.nix loaded table;

  # The argument of the lookup for a pin. The platform defaults to that of this host.
  argumentOf =
    pin:
    {
      platform = pkgs.stdenv.hostPlatform.system;
    }
    // filterAttrs (_: value: value != null) (removeAttrs pin [ "store" ]);
  find = pin: lookup loaded (argumentOf pin);

  # With the plugin and the setting `oci-hash-resolve`, impure evaluation asks the
  # registry for references that are not in the table.
  mayResolve = builtins ? ociHash && builtins ? currentSystem;
  resolve = pin: builtins.ociHash ({ digests = table; } // argumentOf pin);

  # What an error of the built-in table needs in addition: it is not the user's.
  hint =
    pin:
    if cfg.digests == null && pin.digests == null then
      ". This is the table of nix-oci-hashes itself; for other images and tags, make a table of your own "
      + "(docs/your-own-table.md) and name it in nix.ociHashes.digests"
    else
      "";

  optionalText =
    example: description:
    mkOption {
      type = types.nullOr types.str;
      default = null;
      inherit example description;
    };

  pinType = types.coercedTo types.str (image: { inherit image; }) (
    types.submodule {
      options = {
        image = mkOption {
          type = types.str;
          example = "docker.io/nextcloud";
          description = "The image; it may carry a tag or a version requirement.";
        };
        version = optionalText "^34" "A tag, or a version requirement, of which the highest pinned version is taken.";
        variant = optionalText "-fpm" "The suffix of the tag.";
        platform = optionalText "linux/arm64" "The platform, or a Nix system. Null stands for the host's.";
        digests = mkOption {
          type = types.nullOr types.path;
          default = null;
          example = literalExpression "./digests.json";
          description = "The table of this pin, instead of `nix.ociHashes.digests`.";
        };
        store = mkOption {
          type = types.nullOr types.bool;
          default = null;
          example = true;
          description = ''
            Whether the image is in the Nix store, so that the container starts without a
            registry. Null stands for `nix.ociHashes.store`.
          '';
        };
      };
    }
  );
in
rec {
  # The option `pin` of a container.
  option = mkOption {
    type = types.nullOr pinType;
    default = null;
    example = "docker.io/nextcloud:34";
    description = ''
      A reference such as `docker.io/nextcloud:34` or `docker.io/nextcloud:^34`, or a
      set of `image`, `version`, `variant`, `platform`, `digests` and `store`, that is
      looked up in the table of pins. It sets the image to the pinned reference for the
      platform of the host.
    '';
  };

  # Whether the image of a pin, or of none, is in the Nix store.
  isStored = pin: pin != null && (if pin.store == null then cfg.store else pin.store);

  # The reference that a container runs. `path` is that of its option `pin`.
  referenceOf =
    path: pin:
    let
      found = find pin;
    in
    if found ? value then
      names.toText found.value
    else if mayResolve && !isStored pin then
      builtins.addErrorContext "while resolving ${path}" (resolve pin)
    else
      throw "${path}: ${found.error}${hint pin}";

  # The image of a pin, as lib.image gives it.
  imageOf =
    pin:
    buildImage (
      argumentOf pin
      // {
        inherit pkgs;
        inherit (cfg) fetcher mirrors;
        manifests = if pin.digests == null then cfg.manifests else null;
      }
      // optionalAttrs (config ? security.pki.caBundle) {
        certificates = config.security.pki.caBundle;
      }
    );

  # The shell command that puts the image of a pin into podman's storage, unless it is
  # there. `podman` and `skopeo` are the programs; `mark` is another tag for the image.
  loadInPodman =
    {
      path,
      pin,
      podman ? "podman",
      skopeo ? "skopeo",
      mark ? null,
    }:
    let
      image = imageOf pin;
      loadedName = lib.escapeShellArg image.loadedName;
      reference = lib.escapeShellArg (referenceOf path pin);
    in
    ''
      if ! ${podman} image exists ${reference}; then
        ${skopeo} --insecure-policy copy --quiet oci:${image.layout} containers-storage:${loadedName}
    ''
    + optionalString (mark != null) "  ${podman} tag ${loadedName} ${lib.escapeShellArg mark}\n"
    + "fi\n";

  # The assertions of a container with `pin`: `container` is the path of its option,
  # `option` the name of the one that has the image, `image` its value, and `run` what
  # `pin` sets it to.
  assertionsOf =
    {
      container,
      pin,
      option,
      image,
      run,
    }:
    let
      found = find pin;
    in
    optionals (pin != null) [
      {
        # If a registry may answer, evaluating the image throws its error.
        assertion = found ? value || mayResolve && !isStored pin;
        message = "${container}.pin: ${found.error}${hint pin}";
      }
      {
        assertion = !(found ? value) || image == run;
        message =
          "${container} has both 'pin' and '${option}', and they differ: keep one of them; "
          + "'pin' sets '${option}' to ${run}, not to ${image}";
      }
    ];

  # A pin without platforms answers with the digest of the index, whatever that offers.
  warningsOf =
    container: pin:
    let
      found = find pin;
      of = if pin.digests == null then loaded else tables.load pin.digests;
      pins = tables.pinsOf of.value found.value.image;
      isUnverified = (pins.${found.value.tag}.platforms or { }) == { };
    in
    optional (pin != null && found ? value && found.value.tag != null && isUnverified) (
      "${container}.pin: ${found.value.image}:${found.value.tag} is pinned without platforms, so its digest is "
      + "that of the index, which may not have ${(argumentOf pin).platform}; 'nix-oci-hashes refresh' records them"
    );
}
