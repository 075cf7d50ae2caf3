# Variants: the suffixes of tags that stand for another build of a release.
let
  text = import ./text.nix;
  number = import ./number.nix;
  versions = import ./version.nix;
  inherit (import ./tag.nix) isTag;
  inherit (import ./result.nix) fail ok;
  inherit (builtins) length replaceStrings;
in
{
  # A variant as people write it: nothing, `-fpm`, or with one `#` for a number
  # that moves with the release.
  parse =
    input:
    let
      error = reason: fail "invalid variant ${text.quoted input}: ${reason}";
      example = "1" + replaceStrings [ "#" ] [ "0" ] input;
      version = versions.parse example;
    in
    if input == "" then
      ok input
    else if !text.hasPrefix "-" input then
      error "it starts with a hyphen, such as '-fpm'"
    else if length (text.splitOn "#" input) > 2 then
      error "it has at most one '#'"
    else if !isTag example then
      error "beside '#' it has only characters of a tag"
    else if version == null || "1" + version.variant != example then
      error (
        "it marks a prerelease or a build; name prereleases in a requirement, " + "such as '>=2.0.0-rc1'"
      )
    else
      ok input;

  # The number that `#` stands for in `variant` (0 without `#`), or null where
  # `variant` does not fit.
  numberIn =
    pattern: variant:
    let
      parts = text.splitOnce "#" pattern;
      rest = text.dropPrefix parts.before variant;
      digits = builtins.substring 0 (builtins.stringLength rest - builtins.stringLength parts.after) rest;
    in
    if parts == null then
      if pattern == variant then number.zero else null
    else if text.hasPrefix parts.before variant && text.hasSuffix parts.after rest then
      number.parse digits
    else
      null;
}
