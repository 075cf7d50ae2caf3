# The table as a tree of references: image, then tag, then platform.
#
# A pin without platforms gives the tag's digest for every tracked platform of its
# image: the digest of an index is valid for every platform in the index.
{ digests, images }:
let
  inherit (builtins)
    fromJSON
    listToAttrs
    map
    mapAttrs
    readFile
    ;
  table = fromJSON (readFile digests);

  names = import ./lib/name.nix;
  platforms = import ./lib/platform.nix;
  inherit (import ./lib/result.nix) unwrap;

  defaultPlatforms = [
    "linux/amd64"
    "linux/arm64"
  ];
  tracked = listToAttrs (
    map (entry: {
      name = (unwrap (names.parse entry.image)).image;
      value = map (platform: unwrap (platforms.parse platform)) (entry.platforms or defaultPlatforms);
    }) (fromJSON (readFile images))
  );

  manifests =
    image: pin:
    if pin ? platforms then
      pin.platforms
    else
      listToAttrs (
        map (platform: {
          name = platform;
          value = pin.digest;
        }) (tracked.${image} or defaultPlatforms)
      );
in
mapAttrs (
  image: mapAttrs (tag: pin: mapAttrs (_: digest: "${image}:${tag}@${digest}") (manifests image pin))
) table.images
