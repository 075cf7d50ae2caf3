# The one lookup: a reference or a set of attributes in, a pinned reference out,
# by section "Lookup" of the design and with the texts of src/lookup.
let
  text = import ./text.nix;
  names = import ./name.nix;
  digests = import ./digest.nix;
  tags = import ./tag.nix;
  platforms = import ./platform.nix;
  variants = import ./variant.nix;
  versions = import ./version.nix;
  requirements = import ./requirement.nix;
  tables = import ./table.nix;
  suggest = import ./suggest.nix;
  misses = import ./misses.nix;
  typeName = import ./type.nix;
  inherit (import ./result.nix)
    andThen
    fail
    ok
    orElse
    ;
  inherit (builtins)
    any
    attrNames
    attrValues
    concatMap
    concatStringsSep
    elem
    elemAt
    filter
    hasContext
    head
    isAttrs
    isString
    length
    map
    sort
    ;

  attributes = [
    "image"
    "version"
    "variant"
    "platform"
    "digests"
  ];

  # A string without context, or null for an attribute that is not there.
  plain =
    what: value:
    if !isString value then
      fail "${what} is ${typeName value}; write a string"
    else if hasContext value then
      fail (
        "${what} refers to a store path; a reference is a plain string "
        + "such as \"docker.io/nextcloud:34\""
      )
    else
      ok value;
  optional =
    set: name: parse:
    if set ? ${name} then andThen (plain "the attribute '${name}'" set.${name}) parse else ok null;

  # What the attributes ask for.
  query =
    set:
    let
      unknown = filter (name: !elem name attributes) (attrNames set);
      given = name: optional set name ok;
    in
    if unknown != [ ] then
      fail "unknown attribute ${text.quoted (head unknown)}; the set takes ${concatStringsSep ", " attributes}"
    else
      andThen (given "image") (
        image:
        andThen (given "version") (
          version:
          andThen (optional set "variant" variants.parse) (
            variant:
            andThen (optional set "platform" platforms.parse) (
              platform:
              if image == null then
                fail "the set has no attribute 'image'; add one such as image = \"docker.io/nextcloud\""
              else
                andThen (names.parseWritten image) (
                  reference:
                  andThen (wanted image reference version variant) (
                    wanted:
                    ok {
                      inherit (reference) image digest;
                      inherit platform wanted;
                    }
                  )
                )
            )
          )
        )
      );

  # The tag that is asked for, or a requirement of which the newest is; neither
  # where nothing is said.
  wanted =
    input: reference: version: variant:
    let
      suffix = if variant == null then "" else variant;
      tag = value: ok { tag = value; };
      newest =
        version:
        andThen (requirements.parse version) (
          requirement:
          ok {
            inherit requirement;
            variant = suffix;
            # The tag of the very spelling, where that is a legal tag too: `34.x`.
            literal = version + suffix;
          }
        );
    in
    if version != null && (reference.tag != null || reference.digest != null) then
      fail (
        "${text.quoted (names.toText reference)} has a tag or digest and the set a 'version' too; "
        + "keep one of them"
      )
    else if version != null then
      if requirements.isRequirement version then
        newest version
      else if text.contains [ "#" ] suffix then
        fail "a 'variant' with '#' goes with a version requirement; write the version such as '^34'"
      else
        andThen (tags.parse version) (version: andThen (tags.parse (version + suffix)) tag)
    else if reference.tag != null && requirements.isRequirement reference.tag then
      newest reference.tag
    else if suffix != "" then
      fail (
        "a 'variant' goes with a 'version'; write the image without a tag and add its version, "
        + "or write the variant in the tag"
      )
    else if reference.tag == null then
      ok { }
    else
      andThen (orElse (tags.parse reference.tag) (names.invalid input)) tag;

  # Whether `digest` is the tag's, or its platform's: that of the platform asked
  # for, or with none asked for that of any.
  isDigestOf =
    query: pin:
    let
      manifests =
        if query.platform == null then
          attrValues (pin.platforms or { })
        else
          [ (tables.manifestOf pin query.platform) ];
    in
    pin.digest == query.digest || elem query.digest manifests;

  # The versions that a requirement chooses among, as { tag, version, numbers },
  # where `read` makes { version, numbers } of a tag and of what its pin records.
  # Where a pin records a version, only those count that do.
  choices =
    pins: read:
    let
      hasRecorded = any (pin: pin ? version) (attrValues pins);
    in
    concatMap (
      tag:
      let
        recorded = tables.versionOf pins.${tag};
        found = read tag recorded;
      in
      if hasRecorded && recorded == null || found == null then [ ] else [ (found // { inherit tag; }) ]
    ) (attrNames pins);

  # What is known of the versions that a requirement is for: those of its variant,
  # and the variants there are.
  offer =
    pins: variant:
    let
      builds = versions.buildLengths (attrNames pins);
      readTag = variants.read builds variant;
      parse = versions.parseAmong {
        inherit builds;
        words = [ ];
      };
      ofRecorded =
        version:
        let
          numbers = variants.numbersIn variant version.variant;
        in
        if numbers == null then null else { inherit numbers version; };
      all = choices pins (
        tag: recorded:
        let
          version = if recorded == null then parse tag else recorded;
        in
        if version == null then null else { inherit version; }
      );
    in
    {
      ofVariant = choices pins (
        tag: recorded: if recorded == null then readTag tag else ofRecorded recorded
      );
      variants = attrNames (
        builtins.listToAttrs (
          map (found: {
            name = variants.ofRebuild found.version.variant;
            value = null;
          }) all
        )
      );
    };

  # The tag of the highest version that satisfies the requirement; among equals the
  # most precise one, without a prefix and without a build.
  newest =
    requirement: offered:
    let
      fitting = filter (found: requirement.matches found.version) offered.ofVariant;
      keyed = map (found: {
        inherit (found) tag;
        order = versions.order found.version found.numbers;
      }) fitting;
      sorted = sort (a: b: if a.order == b.order then a.tag > b.tag else a.order < b.order) keyed;
    in
    if sorted == [ ] then null else (elemAt sorted (length sorted - 1)).tag;

  # The answer of a pin to a query for its tag.
  answerOfPin =
    query: tag: pin:
    let
      isWhole = query.platform == null || (pin.platforms or { }) == { };
      manifest = tables.manifestOf pin query.platform;
      digest = if isWhole || manifest == null then pin.digest else manifest;
      answer = digest: {
        inherit (query) image;
        inherit tag digest;
      };
    in
    if query.digest != null && isDigestOf query pin then
      ok (answer query.digest)
    else if query.digest != null then
      fail (misses.mismatch (names.toText (answer query.digest)) (names.toText (answer digest)))
    else if !isWhole && manifest == null then
      fail (misses.noSuchPlatform query.image tag query.platform (attrNames pin.platforms))
    else
      andThen (digests.parse digest) (digest: ok (answer digest));

  # A digest without a tag is right if any tag is pinned to it.
  answerOfDigest =
    query: pins:
    let
      answer = {
        inherit (query) image digest;
        tag = null;
      };
    in
    if !builtins.all tables.isPin (attrValues pins) then
      fail (misses.malformed query.image)
    else if any (isDigestOf query) (attrValues pins) then
      ok answer
    else
      fail (misses.unknownDigest (names.toText answer) query.platform pins);

  answer =
    table: query:
    let
      inherit (query) image wanted;
      pins = tables.pinsOf table image;
      offered = offer pins wanted.variant;
      tag =
        if !(wanted ? requirement) then
          wanted.tag or "latest"
        else if pins ? ${wanted.literal} then
          wanted.literal
        else
          newest wanted.requirement offered;
    in
    if pins == null then
      fail (misses.notTracked image (suggest.images image (tables.images table)))
    else if !isAttrs pins then
      fail (misses.malformed image)
    else if pins == { } then
      fail "${image} is tracked but not pinned yet; run 'nix-oci-hashes refresh'"
    else if wanted == { } && query.digest != null then
      answerOfDigest query pins
    else if wanted ? requirement && !builtins.all tables.isPin (attrValues pins) then
      fail (misses.malformed image)
    else if tag == null then
      fail (
        if offered.ofVariant == [ ] && offered.variants != [ ] then
          misses.noVariant image wanted.variant offered.variants
        else
          misses.noMatch image wanted.requirement.text wanted.variant pins (
            if offered.ofVariant == [ ] then attrNames pins else map (found: found.tag) offered.ofVariant
          )
      )
    else if pins ? ${tag} then
      if tables.isPin pins.${tag} then
        answerOfPin query tag pins.${tag}
      else
        fail (misses.malformed image)
    else if wanted == { } then
      fail (misses.noLatest image pins)
    else
      fail (misses.noSuchTag image tag pins);
in
{
  inherit plain;

  # The result for an argument of ociHash, as { image, tag, digest }; `default` the table of an argument without one.
  lookup =
    default: argument:
    let
      set =
        if isAttrs argument then
          ok argument
        else if isString argument then
          andThen (plain "the argument" argument) (image: ok { inherit image; })
        else
          fail (
            "the argument is ${typeName argument}; write a reference such as "
            + "\"docker.io/nextcloud:34\", or a set such as "
            + "{ image = \"docker.io/nextcloud\"; version = \"34\"; }"
          );
    in
    andThen set (
      set:
      andThen (query set) (
        query:
        andThen (if set ? digests then tables.load set.digests else default) (table: answer table query)
      )
    );
}
