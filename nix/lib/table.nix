# The table of pins, as a path or a parsed digests.json. Only what a lookup needs
# of it is evaluated.
let
  names = import ./name.nix;
  platforms = import ./platform.nix;
  versions = import ./version.nix;
  inherit (import ./text.nix) typeName;
  inherit (import ./result.nix) fail ok;
  inherit (builtins) isAttrs isString;

  # The attribute `name` of `set`, or the one that `parse` normalises to `name`: a
  # table written by hand may spell it differently. Null if there is none.
  named =
    parse: name: set:
    let
      others = builtins.filter (key: parse key == name) (builtins.attrNames set);
    in
    if set ? ${name} then
      set.${name}
    else if others == [ ] then
      null
    else
      set.${builtins.head others};

  isSetOf = isValue: set: isAttrs set && builtins.all isValue (builtins.attrValues set);

  # Whether a set is a table of the first nix-oci-hashes, which this project replaces:
  # references by image, tag and platform.
  isLegacyTable = table: table != { } && isSetOf (isSetOf (isSetOf isString)) table;

  check =
    table:
    if isLegacyTable table then
      fail "the attribute 'digests' is a table of the first nix-oci-hashes; give it another name and take its pins over with 'nix-oci-hashes import FILE'"
    else if !isAttrs table || !table ? version || !isAttrs (table.images or null) then
      fail "the attribute 'digests' is no table of pins; pass the path of a digests.json, or the set that builtins.fromJSON makes of it"
    else if table.version != 1 && table.version != 2 then
      fail "the attribute 'digests': its version is ${builtins.toJSON table.version}, and this nix-oci-hashes reads 1 and 2; use a newer nix-oci-hashes"
    else
      ok table;
in
rec {
  # The table that the argument `digests` stands for.
  load =
    digests:
    if isAttrs digests && digests ? outPath then
      load digests.outPath
    else if isAttrs digests then
      check digests
    else if builtins.isPath digests || isString digests then
      # The pins do not depend on the store paths that a built file refers to.
      check (builtins.fromJSON (builtins.unsafeDiscardStringContext (builtins.readFile digests)))
    else
      fail "the attribute 'digests' is ${typeName digests}; write the path of a digests.json, or its parsed set";

  # The pins of an image by tag; null for an image that is not tracked.
  pinsOf = table: image: named (key: (names.parse key).value.image or null) image table.images;

  # The digest of a platform in a pin; null where it has none.
  manifestOf =
    pin: platform: named (key: (platforms.parse key).value or null) platform (pin.platforms or { });

  # The version that a pin records; null where it records none.
  versionOf =
    pin:
    if isString (pin.version or null) && isString (pin.variant or "") then
      versions.fromPin pin.version (pin.variant or "")
    else
      null;

  # Whether a value is a pin, as far as a lookup needs it.
  isPin =
    pin:
    isAttrs pin
    && isString (pin.digest or null)
    && isString (pin.variant or "")
    && (!pin ? version || versionOf pin != null)
    && isSetOf isString (pin.platforms or { });
}
