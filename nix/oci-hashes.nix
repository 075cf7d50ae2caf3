# The table as a tree of references: image, then tag, then platform.
#
# A pin of which only the tag's digest is known yet has it for every platform that
# its image is tracked for: it is right on all that the index offers.
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
