# Parses and checks the attributes of a lookup's argument.
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
in
rec {
  # A string without context.
  plain =
    what: value:
    if !builtins.isString value then
      fail "${what} is ${text.typeName value}; write a string"
    else if builtins.hasContext value then
      fail "${what} refers to a store path; a reference is a plain string such as \"docker.io/nextcloud:34\""
    else
      ok value;

  # The query { image, digest, platform, wanted } of a set of attributes.
  parse =
    set:
    let
      unknown = builtins.filter (name: !builtins.elem name attributes) (builtins.attrNames set);
      given =
        name: parse:
        if set ? ${name} then andThen (plain "the attribute '${name}'" set.${name}) parse else ok null;
      image = given "image" ok;
      version = given "version" ok;
      variant = given "variant" variants.parse;
      platform = given "platform" platforms.parse;
      reference =
        if set ? image then
          names.parseWritten image.value
        else
          fail "the set has no attribute 'image'; add one such as image = \"docker.io/nextcloud\"";
      suffix = if variant.value == null then "" else variant.value;
      wanted = parseWanted image.value reference.value version.value suffix;
    in
    if unknown != [ ] then
      fail "unknown attribute ${text.quoted (builtins.head unknown)}; the set takes ${builtins.concatStringsSep ", " attributes}"
    else
      allOf [
        image
        version
        variant
        platform
        reference
        wanted
        (ok {
          inherit (reference.value) image digest;
          platform = platform.value;
          wanted = wanted.value;
        })
      ];
}
