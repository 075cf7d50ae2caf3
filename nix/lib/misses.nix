# The errors of lookups that the table cannot answer. Each names the alternatives
# and a remedy.
let
  versions = import ./version.nix;
  suggest = import ./suggest.nix;
  tables = import ./table.nix;
  inherit (import ./list.nix) last take;
  inherit (builtins) attrNames concatStringsSep length;

  # How many tags or variants an error names at most.
  most = 10;

  # The first ten of `items`, and how many more there are of `count`.
  list =
    count: items:
    let
      shown = take most items;
      more = count - length shown;
    in
    concatStringsSep ", " shown + (if more == 0 then "" else " and ${toString more} more");

  # `a`, `a or b`, `a, b or c`.
  alternatives =
    items:
    let
      others = take (length items - 1) items;
    in
    (if others == [ ] then "" else concatStringsSep ", " others + " or ") + last items;

  # Pinned tags, sorted by a comparison of { isVersion, key }. The key orders versions
  # first, from the oldest to the newest.
  sorted =
    isBefore: pins: tags:
    let
      withKey =
        tag:
        let
          recorded = tables.versionOf pins.${tag};
          version = if recorded == null then versions.parse tag else recorded;
          isVersion = version != null;
        in
        {
          inherit tag isVersion;
          key = [
            (if isVersion then 0 else 1)
            (if isVersion then versions.key version else [ ])
            tag
          ];
        };
    in
    map (item: item.tag) (builtins.sort isBefore (map withKey tags));
  descending = sorted (a: b: b.key < a.key);
  # Versions from the newest to the oldest, then words.
  readable = sorted (a: b: if a.isVersion && b.isVersion then b.key < a.key else a.key < b.key);

  some = pins: tags: list (length tags) (readable pins tags);
  allTags = pins: some pins (attrNames pins);
  # The ten tags with the smallest edit distance to `tag`. Of equally near tags, the
  # newest are preferred.
  tagsNear =
    tag: pins:
    let
      tags = attrNames pins;
    in
    list (length tags) (readable pins (suggest.tags most tag (descending pins tags)));
in
{
  notTracked =
    image: table:
    let
      near = suggest.images image (attrNames table.images);
      meant = if near == [ ] then "to" else "did you mean ${alternatives near}? To";
    in
    "${image} is not tracked; ${meant} track it, run 'nix-oci-hashes add ${image}'";

  notPinned = image: "${image} is tracked but not pinned yet; run 'nix-oci-hashes refresh'";

  malformed =
    image:
    "the pins of ${image} are malformed: each takes a 'digest', and maybe 'version', 'variant' and 'platforms'; "
    + "mend the table, or take its last good version from git";

  noLatest = image: pins: "${image} has no pinned tag 'latest'; name one of ${allTags pins}";

  noSuchTag =
    image: tag: pins:
    "${image} has no pinned tag '${tag}'; pinned are ${tagsNear tag pins}; "
    + "to pin another, add it to 'tags' or 'strategies' in images.json and run 'nix-oci-hashes refresh'";

  noMatch =
    image: requirement: variant: pins: tags:
    "${image} has no pinned tag ${if variant == "" then "" else "of variant '${variant}' "}"
    + "that satisfies '${requirement}'; pinned are ${some pins tags}; "
    + "to pin more, widen 'strategies' or 'variants' in images.json and run 'nix-oci-hashes refresh'";

  noVariant =
    image: variant: variants:
    let
      wanted = if variant == "" then "without a variant" else "of variant '${variant}'";
      quoted = map (variant: if variant == "" then "'' (the plain tag)" else "'${variant}'") variants;
    in
    "${image} has no pinned version ${wanted}; there are the variants ${list (length variants) quoted}; "
    + "name one with 'variant'";

  noSuchPlatform =
    image: tag: platform: platforms:
    "${image}:${tag} is not pinned for ${platform}; it is for ${concatStringsSep ", " platforms}; "
    + "to pin more, add to 'platforms' in images.json and run 'nix-oci-hashes refresh'";

  mismatch =
    reference: pinned:
    "${reference} is not what is pinned, ${pinned}; take the digest out of the reference to follow the table";

  unknownDigest =
    reference: platform: pins:
    "${reference} has a digest that no tag of the image is pinned to"
    + (if platform == null then "" else " for ${platform}")
    + "; name the tag instead, one of ${allTags pins}";
}
