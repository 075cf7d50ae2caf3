# Looks up the pinned reference for a reference or a set of attributes. The rules
# and the error messages are those of src/lookup.
let
  digests = import ./digest.nix;
  misses = import ./misses.nix;
  names = import ./name.nix;
  newest = import ./newest.nix;
  queries = import ./query.nix;
  tables = import ./table.nix;
  inherit (import ./result.nix)
    allOf
    andThen
    fail
    ok
    ;
  inherit (builtins) attrValues isAttrs;

  # Whether the query's digest is that of the tag or of the requested platform. If no
  # platform is requested, the digest of any platform will do.
  hasDigest =
    query: pin:
    let
      platforms = attrValues (pin.platforms or { });
      asked = [ (tables.manifestOf pin query.platform) ];
    in
    pin.digest == query.digest
    || builtins.elem query.digest (if query.platform == null then platforms else asked);

  # The answer of a pin to a query for its tag.
  answerOfPin =
    query: tag: pin:
    let
      # A pin that only has the tag's digest answers with that for every platform.
      isWhole = query.platform == null || (pin.platforms or { }) == { };
      manifest = if isWhole then pin.digest else tables.manifestOf pin query.platform;
      digest = if manifest == null then pin.digest else manifest;
      reference = digest: {
        inherit (query) image;
        inherit tag digest;
      };
    in
    if query.digest != null && hasDigest query pin then
      ok (reference query.digest)
    else if query.digest != null then
      fail (misses.mismatch (names.toText (reference query.digest)) (names.toText (reference digest)))
    else if manifest == null then
      fail (misses.noSuchPlatform query.image tag query.platform (builtins.attrNames pin.platforms))
    else
      andThen (digests.parse digest) (digest: ok (reference digest));

  # A digest without a tag is right if any tag is pinned to it.
  answerOfDigest =
    query: pins:
    let
      reference = {
        inherit (query) image digest;
        tag = null;
      };
    in
    if builtins.any (hasDigest query) (attrValues pins) then
      ok reference
    else
      fail (misses.unknownDigest (names.toText reference) query.platform pins);

  answer =
    table: query:
    let
      inherit (query) image wanted;
      pins = tables.pinsOf table image;
      malformed = fail (misses.malformed image);
      # A lookup without an exact tag reads all pins.
      areMalformed = !builtins.all tables.isPin (attrValues pins);
      answerOfTag =
        tag:
        if !pins ? ${tag} then
          fail (if wanted == { } then misses.noLatest image pins else misses.noSuchTag image tag pins)
        else if !tables.isPin pins.${tag} then
          malformed
        else
          answerOfPin query tag pins.${tag};
    in
    if pins == null then
      fail (misses.notTracked image table)
    else if !isAttrs pins then
      malformed
    else if pins == { } then
      fail (misses.notPinned image)
    else if wanted ? requirement then
      if areMalformed then malformed else andThen (newest image pins wanted) answerOfTag
    else if wanted == { } && query.digest != null then
      if areMalformed then malformed else answerOfDigest query pins
    else
      answerOfTag (wanted.tag or "latest");
in
{
  inherit (queries) plain;

  # The result for an argument of ociHash, as { image, tag, digest }. `default` is the
  # table of an argument without one.
  lookup =
    default: argument:
    let
      query = queries.parse argument;
      table = if argument ? digests then tables.load argument.digests else default;
    in
    allOf [
      query
      table
      (answer table.value query.value)
    ];
}
