# Chooses the tag of an image for a version requirement.
let
  misses = import ./misses.nix;
  tables = import ./table.nix;
  variants = import ./variant.nix;
  versions = import ./version.nix;
  inherit (import ./result.nix) fail ok;
  inherit (builtins) attrNames filter;
in
# The tag of the highest version that satisfies the requirement of `wanted`.
image: pins: wanted:
let
  inherit (wanted) requirement variant;
  tags = attrNames pins;
  # If any pin records a version, only pins with a recorded version count.
  hasRecorded = builtins.any (pin: pin ? version) (builtins.attrValues pins);
  builds = versions.buildLengths tags;

  # The versions among the tags, with these words as part of the variant.
  versionsWith =
    words:
    let
      parse = versions.parseAmong { inherit builds words; };
      read = tag: rec {
        inherit tag;
        version = if hasRecorded then tables.versionOf pins.${tag} else parse tag;
        numbers = variants.numbersIn variant version.variant;
        order = versions.order version numbers;
      };
    in
    filter (found: found.version != null) (map read tags);

  ofVariant = filter (found: found.numbers != null) (versionsWith (variants.words variant));
  candidates = filter (found: requirement.matches found.version) ofVariant;
  # Of equals, the first tag.
  higher = a: b: if a.order < b.order then b else a;

  otherVariants = attrNames (
    builtins.groupBy (found: variants.ofRebuild found.version.variant) (versionsWith [ ])
  );
in
if pins ? ${wanted.literal} then
  ok wanted.literal
else if candidates != [ ] then
  ok (builtins.foldl' higher (builtins.head candidates) candidates).tag
else if ofVariant != [ ] then
  fail (misses.noMatch image requirement.text variant pins (map (found: found.tag) ofVariant))
else if otherVariants != [ ] then
  fail (misses.noVariant image variant otherVariants)
else
  fail (misses.noMatch image requirement.text variant pins tags)
