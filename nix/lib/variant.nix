# Variants: the suffixes of tags that stand for another build of a release.
let
  text = import ./text.nix;
  number = import ./number.nix;
  versions = import ./version.nix;
  inherit (import ./tag.nix) isTag;
  inherit (import ./result.nix) fail ok;
  inherit (builtins)
    elemAt
    filter
    foldl'
    head
    match
    replaceStrings
    tail
    ;

  # Words that mark a prerelease elsewhere, and are part of this variant.
  words = pattern: filter versions.isWord (tail (text.splitOn "-" pattern));

  # The numbers that each `#` stands for in `variant`, or null where it does not fit.
  numbersIn =
    pattern: variant:
    let
      parts = text.splitOn "#" pattern;
      start = head parts;
      take =
        found: literal:
        let
          digits = head (match "([0-9]*).*" found.rest);
          value = number.parse digits;
          rest = text.dropPrefix digits found.rest;
        in
        if found == null || value == null || !text.hasPrefix literal rest then
          null
        else
          {
            numbers = found.numbers ++ [ value ];
            rest = text.dropPrefix literal rest;
          };
      found = foldl' take {
        numbers = [ ];
        rest = text.dropPrefix start variant;
      } (tail parts);
    in
    if !text.hasPrefix start variant || found == null || found.rest != "" then null else found.numbers;
in
{
  inherit numbersIn;

  # A variant as people write it: nothing, `-fpm`, or with a `#` for each number
  # that moves with the release.
  parse =
    input:
    let
      error = reason: fail "invalid variant ${text.quoted input}: ${reason}";
      example = "1" + replaceStrings [ "#" ] [ "0" ] input;
      version = versions.parseAmong {
        builds = [ ];
        words = words input;
      } example;
      isJoined = match ".*([0-9]#|#[0-9]|##).*" (builtins.substring 0 129 input) != null;
    in
    if input == "" then
      ok input
    else if !text.hasPrefix "-" input then
      error "it starts with a hyphen, such as '-fpm'"
    else if isJoined then
      error "a '#' stands for a whole number"
    else if !isTag example then
      error "beside '#' it has only characters of a tag"
    else if version == null || "1" + version.variant != example then
      error (
        "it marks a prerelease or a build; name prereleases in a requirement, " + "such as '>=2.0.0-rc1'"
      )
    else
      ok input;

  # The version that a tag names of a variant, and what each `#` stands for; null
  # where it names none.
  read =
    builds: pattern:
    let
      parse = versions.parseAmong {
        inherit builds;
        words = words pattern;
      };
    in
    tag:
    let
      version = parse tag;
      numbers = numbersIn pattern version.variant;
    in
    if version == null || numbers == null then null else { inherit numbers version; };

  # The pattern of a version's variant, with a `#` where that ends in the number of
  # a rebuild.
  ofRebuild =
    variant:
    let
      found = match "(.*-(|ce[.]|ee[.]|ls|r))[0-9]+" variant;
    in
    if found == null then variant else elemAt found 0 + "#";
}
