# Variants: the suffixes of tags that stand for another build of a release.
let
  text = import ./text.nix;
  numbers = import ./number.nix;
  tags = import ./tag.nix;
  versions = import ./version.nix;
  inherit (import ./result.nix) fail ok;
  inherit (builtins) match replaceStrings;
in
rec {
  # A variant as users write it: empty, `-fpm`, or with a `#` for each number that
  # changes with the release.
  parse =
    input:
    let
      invalid = reason: fail "invalid variant ${text.quoted input}: ${reason}";
      example = "1" + replaceStrings [ "#" ] [ "0" ] input;
      version = versions.parseAmong {
        builds = [ ];
        words = words input;
      } example;
    in
    if input == "" then
      ok input
    else if !text.hasPrefix "-" input then
      invalid "it starts with a hyphen, such as '-fpm'"
    else if text.contains "[0-9]#|#[0-9]|##" input then
      invalid "a '#' stands for a whole number"
    else if !tags.isTag example then
      invalid "beside '#' it has only characters of a tag"
    else if version == null || "1" + version.variant != example then
      invalid "it marks a prerelease or a build; name prereleases in a requirement, such as '>=2.0.0-rc1'"
    else
      ok input;

  # The words of this variant that would otherwise mark a prerelease.
  words = variant: builtins.filter versions.isWord (builtins.tail (text.splitOn "-" variant));

  # The numbers that each `#` of `pattern` stands for in a variant; null if the variant
  # does not match. Neither argument is longer than a tag.
  numbersIn =
    pattern: variant:
    let
      expression = replaceStrings [ "." "#" ] [ "[.]" "([0-9]+)" ] pattern;
      found = match expression variant;
      values = map numbers.parse found;
    in
    if found == null || builtins.elem null values then null else values;

  # The pattern of a variant: the number of a rebuild at its end becomes `#`.
  ofRebuild =
    variant:
    let
      found = match "(.*-(|ce[.]|ee[.]|ls|r))[0-9]+" variant;
    in
    if found == null then variant else builtins.head found + "#";
}
