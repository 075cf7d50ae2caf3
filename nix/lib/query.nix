# Parses and checks the argument of a lookup.
let
  text = import ./text.nix;
  names = import ./name.nix;
  tags = import ./tag.nix;
  platforms = import ./platform.nix;
  variants = import ./variant.nix;
  requirements = import ./requirement.nix;
  inherit (import ./result.nix)
    allOf
    andThen
    fail
    ok
    ;

  attributes = [
    "image"
    "version"
    "variant"
    "platform"
    "digests"
  ];

  # The requested tag: { tag }, { requirement, variant, literal } for the newest
  # version that satisfies a requirement, or { } if none is given.
  parseWanted =
    image: reference: version: variant:
    let
      isTwice = version != null && (reference.tag != null || reference.digest != null);
      written = if version == null then reference.tag else version;
      newest =
        requirement:
        ok {
          inherit requirement variant;
          # The requirement as a tag: `34.x` is a requirement and a legal tag.
          literal = written + variant;
        };
    in
    if isTwice then
      fail "${text.quoted (names.toText reference)} has a tag or digest and the set a 'version' too; keep one of them"
    else if written != null && requirements.isRequirement written then
      andThen (requirements.parse written) newest
    else if version != null && text.contains "#" variant then
      fail "a 'variant' with '#' goes with a version requirement; write the version such as '^34'"
    else if version != null then
      allOf [
        (tags.parse version)
        (tags.parse (version + variant))
        (ok { tag = version + variant; })
      ]
    else if variant != "" then
      fail "a 'variant' goes with a 'version'; write the image without a tag and add its version, or write the variant in the tag"
    else if reference.tag != null then
      allOf [
        (names.checkTag image reference)
        (ok { inherit (reference) tag; })
      ]
    else
      ok { };

  # The query of a written image and of the values of the other attributes, which are
  # null where they are absent.
  queryOf =
    image: version: variant: platform:
    let
      reference = names.parseWritten image;
      wanted = parseWanted image reference.value version (if variant == null then "" else variant);
    in
    allOf [
      reference
      wanted
      (ok {
        inherit (reference.value) image digest;
        inherit platform;
        wanted = wanted.value;
      })
    ];

  ofSet =
    set:
    let
      unknown = builtins.attrNames (removeAttrs set attributes);
      given =
        name: parse:
        if set ? ${name} then andThen (plain "the attribute '${name}'" set.${name}) parse else ok null;
      image = given "image" ok;
      version = given "version" ok;
      variant = given "variant" variants.parse;
      platform = given "platform" platforms.parse;
    in
    if unknown != [ ] then
      fail "unknown attribute ${text.quoted (builtins.head unknown)}; the set takes ${builtins.concatStringsSep ", " attributes}"
    else
      allOf [
        image
        version
        variant
        platform
        (
          if set ? image then
            queryOf image.value version.value variant.value platform.value
          else
            fail "the set has no attribute 'image'; add one such as image = \"docker.io/nextcloud\""
        )
      ];

  # A string without context.
  plain =
    what: value:
    if !builtins.isString value then
      fail "${what} is ${text.typeName value}; write a string"
    else if builtins.hasContext value then
      fail "${what} refers to a store path; a reference is a plain string such as \"docker.io/nextcloud:34\""
    else
      ok value;
in
{
  inherit plain;

  # The query { image, digest, platform, wanted } of an argument of ociHash.
  parse =
    argument:
    if builtins.isString argument then
      andThen (plain "the argument" argument) (image: queryOf image null null null)
    else if builtins.isAttrs argument then
      ofSet argument
    else
      fail "the argument is ${text.typeName argument}; write a reference such as \"docker.io/nextcloud:34\", or a set such as { image = \"docker.io/nextcloud\"; version = \"34\"; }";
}
