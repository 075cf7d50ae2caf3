# The table of pins, as a path or a parsed digests.json. Only what a lookup needs
# of it is looked at.
let
  names = import ./name.nix;
  platforms = import ./platform.nix;
  versions = import ./version.nix;
  typeName = import ./type.nix;
  inherit (import ./result.nix) fail ok;
  inherit (builtins)
    all
    attrNames
    filter
    fromJSON
    isAttrs
    isPath
    isString
    readFile
    ;

  remedy = "pass the path of a digests.json, or the set that builtins.fromJSON makes of it";

  # The attribute of `set` whose name `parse` reads as `name`, if there is one: a
  # table written by hand may spell it otherwise.
  named =
    parse: name: set:
    let
      others = filter (key: (parse key).value or null == name) (attrNames set);
    in
    if set ? ${name} then
      set.${name}
    else if others == [ ] then
      null
    else
      set.${builtins.head others};

  imageOf =
    key:
    let
      parsed = names.parse key;
    in
    if parsed ? value then ok parsed.value.image else parsed;

  # Whether a set is a table as the project that this one replaces wrote it:
  # references by image, tag and platform.
  isOfTheFirst =
    let
      isSetOf = isValue: set: isAttrs set && all isValue (builtins.attrValues set);
    in
    table: table != { } && isSetOf (isSetOf (isSetOf isString)) table;
in
rec {
  # The table that the argument `digests` stands for.
  load =
    digests:
    if isAttrs digests && digests ? outPath then
      load digests.outPath
    else if isAttrs digests then
      check digests
    else if isPath digests || isString digests then
      # What a built file refers to has no part in its pins.
      check (fromJSON (builtins.unsafeDiscardStringContext (readFile digests)))
    else
      fail (
        "the attribute 'digests' is ${typeName digests}; "
        + "write the path of a digests.json, or its parsed set"
      );

  check =
    table:
    if isOfTheFirst table then
      fail (
        "the attribute 'digests' is a table of the first nix-oci-hashes; "
        + "give it another name and take its pins over with 'nix-oci-hashes import FILE'"
      )
    else if !isAttrs table || !(table ? version) || !isAttrs (table.images or null) then
      fail "the attribute 'digests' is no table of pins; ${remedy}"
    else if table.version != 1 && table.version != 2 then
      fail (
        "the attribute 'digests': its version is ${builtins.toJSON table.version}, and this "
        + "nix-oci-hashes reads 1 and 2; use a newer nix-oci-hashes"
      )
    else
      ok table;

  # The names of all images.
  images = table: attrNames table.images;

  # The pins of an image by tag; null for an image that is not tracked.
  pinsOf = table: image: named imageOf image table.images;

  # Whether what stands for a pin is one, as far as a lookup looks at it.
  isPin =
    pin:
    isAttrs pin
    && isString (pin.digest or null)
    && isString (pin.version or "")
    && isString (pin.variant or "")
    && (!(pin ? version) || versions.fromPin pin.version (pin.variant or "") != null)
    && isAttrs (pin.platforms or { })
    && all isString (builtins.attrValues (pin.platforms or { }));

  # The version that a pin records; null where it records none.
  versionOf =
    pin:
    if isString (pin.version or null) && isString (pin.variant or "") then
      versions.fromPin pin.version (pin.variant or "")
    else
      null;

  # The digest of a platform in a pin; null where it has none.
  manifestOf = pin: platform: named platforms.parse platform (pin.platforms or { });
}
