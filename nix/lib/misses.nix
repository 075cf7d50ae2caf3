# What a lookup says where the table has no answer: what there is instead, and
# the way out.
let
  versions = import ./version.nix;
  suggest = import ./suggest.nix;
  tables = import ./table.nix;
  inherit (builtins)
    attrNames
    concatStringsSep
    elemAt
    genList
    length
    map
    partition
    sort
    ;

  # How many tags or variants an error names at most.
  most = 10;

  reverse = list: genList (i: elemAt list (length list - 1 - i)) (length list);

  # Versions from the oldest to the newest, then words.
  sorted =
    pins: tags:
    let
      keyed = map (
        tag:
        let
          recorded = tables.versionOf pins.${tag};
          version = if recorded == null then versions.parse tag else recorded;
        in
        {
          inherit tag;
          isVersion = version != null;
          key = if version == null then "1${tag}" else "0${versions.key version} ${tag}";
        }
      ) tags;
    in
    sort (a: b: a.key < b.key) keyed;

  # Pinned tags as an error names them: versions from the newest on, then words, at
  # most ten, of `all` that there are.
  shown =
    pins: all: tags:
    let
      parts = partition (tag: tag.isVersion) (sorted pins tags);
      ordered = map (tag: tag.tag) (reverse parts.right ++ parts.wrong);
      named = genList (elemAt ordered) (if length ordered < most then length ordered else most);
      more = all - length named;
    in
    concatStringsSep ", " named + (if more == 0 then "" else " and ${toString more} more");

  list = pins: tags: shown pins (length tags) tags;
  listAll = pins: list pins (attrNames pins);

  near =
    wanted: pins:
    let
      tags = attrNames pins;
      newestFirst = map (tag: tag.tag) (reverse (sorted pins tags));
    in
    shown pins (length tags) (suggest.tags most wanted newestFirst);

  # `a`, `a or b`, `a, b or c`.
  alternatives =
    names:
    let
      last = length names - 1;
    in
    if last == 0 then
      elemAt names 0
    else
      concatStringsSep ", " (genList (elemAt names) last) + " or ${elemAt names last}";
in
{
  notTracked =
    image: near:
    "${image} is not tracked; "
    + (if near == [ ] then "t" else "did you mean ${alternatives near}? T")
    + "o track it, run 'nix-oci-hashes add ${image}'";

  malformed =
    image:
    "the pins of ${image} are malformed: each takes a 'digest', and maybe 'version', 'variant' and 'platforms'; "
    + "mend the table, or take its last good version from git";

  noLatest = image: pins: "${image} has no pinned tag 'latest'; name one of ${listAll pins}";

  noSuchTag =
    image: tag: pins:
    "${image} has no pinned tag '${tag}'; pinned are ${near tag pins}; to pin another, add it to "
    + "'tags' or 'strategies' in images.json and run 'nix-oci-hashes refresh'";

  noMatch =
    image: requirement: variant: pins: tags:
    "${image} has no pinned tag ${if variant == "" then "" else "of variant '${variant}' "}"
    + "that satisfies '${requirement}'; pinned are ${list pins tags}; to pin more, "
    + "widen 'strategies' or 'variants' in images.json and run 'nix-oci-hashes refresh'";

  noVariant =
    image: variant: variants:
    let
      named = if length variants > most then most else length variants;
      more = length variants - named;
      quoted = variant: if variant == "" then "'' (the plain tag)" else "'${variant}'";
    in
    "${image} has no pinned version ${
      if variant == "" then "without a variant" else "of variant '${variant}'"
    }; there are the variants ${concatStringsSep ", " (genList (i: quoted (elemAt variants i)) named)}${
      if more == 0 then "" else " and ${toString more} more"
    }; name one with 'variant'";

  noSuchPlatform =
    image: tag: platform: platforms:
    "${image}:${tag} is not pinned for ${platform}; it is for ${concatStringsSep ", " platforms}; "
    + "to pin more, add to 'platforms' in images.json and run 'nix-oci-hashes refresh'";

  mismatch =
    reference: pinned:
    "${reference} is not what is pinned, ${pinned}; "
    + "take the digest out of the reference to follow the table";

  unknownDigest =
    reference: platform: pins:
    "${reference} has a digest that no tag of the image is pinned to"
    + (if platform == null then "" else " for ${platform}")
    + "; name the tag instead, one of ${listAll pins}";
}
