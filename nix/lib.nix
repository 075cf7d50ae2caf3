# Pinned references in plain Nix: the same answers as `builtins.ociHash`, without the plugin.
#
#   lib = import ./nix/lib.nix { digests = ./digests.json; };
#   lib.ociHash "docker.io/nextcloud:34"
#   => "docker.io/nextcloud:34@sha256:..."
#
# `digests` is the default table of lookups: a path, or the parsed set.
{ digests }:
let
  names = import ./lib/name.nix;
  platforms = import ./lib/platform.nix;
  tables = import ./lib/table.nix;
  text = import ./lib/text.nix;
  inherit (import ./lib/lookup.nix) lookup plain;
  inherit (import ./lib/result.nix) andThen unwrap;
  inherit (builtins) isAttrs isString;

  # Read once, however many lookups there are.
  default = tables.load digests;
  find = lookup default;

  withDigests =
    argument:
    if isAttrs argument then
      { inherit digests; } // argument
    else if isString argument then
      {
        image = argument;
        inherit digests;
      }
    else
      argument;
in
rec {
  # The pinned reference of `argument`: a reference, or a set of `image`,
  # `version`, `variant`, `platform` and `digests`.
  ociHash =
    argument:
    if builtins ? ociHash then
      builtins.ociHash (withDigests argument)
    else
      names.toText (unwrap (find argument));

  # An image in the Nix store: { reference, manifest, config, layers, layout, stream,
  # archive, loadedName }, each built only if it is used. Takes the attributes of
  # ociHash, `pkgs`, and the options of docs/store.md.
  image = import ./lib/image.nix default digests;

  # The OCI platform for a Nix system, or for another spelling of a platform.
  platformOf = input: unwrap (andThen (plain "the platform" input) platforms.parse);

  # A reference as { image, registry, repository, tag, digest }; the last two
  # are null where it has none.
  parseReference = input: unwrap (andThen (plain "the reference" input) names.parse);

  # The arguments of dockerTools.pullImage and nix2container's pullImage for an
  # argument of ociHash, except the hash: { imageName, imageDigest }, and also
  # { os, arch } if it names a platform.
  pullArgs =
    argument:
    let
      pinned = parseReference (ociHash argument);
      parts = text.splitOn "/" (platformOf argument.platform);
      platform =
        if argument ? platform then
          {
            os = builtins.elemAt parts 0;
            arch = builtins.elemAt parts 1;
          }
        else
          { };
    in
    {
      imageName = "${pinned.registry}/${pinned.repository}";
      imageDigest = pinned.digest;
    }
    // platform;
}
