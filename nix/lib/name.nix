# Image names and references, by the rules of distribution/reference.
let
  text = import ./text.nix;
  number = import ./number.nix;
  digests = import ./digest.nix;
  tags = import ./tag.nix;
  inherit (import ./result.nix)
    andThen
    fail
    ok
    orElse
    ;
  inherit (builtins)
    all
    elem
    elemAt
    length
    map
    match
    replaceStrings
    stringLength
    substring
    ;

  dockerHub = "docker.io";
  # Docker Hub's namespace for the official images, left out when written.
  official = "library/";
  # Longest repository path (distribution/reference).
  longestRepository = 255;

  hexadecimal = text.characters "0123456789abcdefABCDEF";

  # The registry, if the first component is one: a name without a dot, a colon or
  # an upper-case letter is a namespace on Docker Hub, unless it is `localhost`.
  splitRegistry =
    input:
    let
      parts = text.splitOnce "/" input;
      isHost =
        parts.before == "localhost" || text.contains [ "." ":" ] parts.before || !text.isLower parts.before;
    in
    if parts != null && isHost then
      {
        host = parts.before;
        path = parts.after;
      }
    else
      {
        host = null;
        path = input;
      };

  # `host[:port]`, where the host is a domain name, an IPv4 address, or an IPv6
  # address in brackets.
  isRegistry =
    input:
    let
      bracketed = text.splitOnce "]" input;
      plain = text.splitOnce ":" input;
    in
    if text.hasPrefix "[" input then
      bracketed != null
      && isAddress (text.dropPrefix "[" bracketed.before)
      && (
        bracketed.after == ""
        || text.hasPrefix ":" bracketed.after && isPort (text.dropPrefix ":" bracketed.after)
      )
    else if plain == null then
      isDomain input
    else
      isDomain plain.before && isPort plain.after;

  isPort =
    input:
    let
      port = number.parse input;
    in
    port != null && port <= number.ofInt 65535;

  isDomain =
    input:
    stringLength input <= 253
    && all (label: match "[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9-]*[A-Za-z0-9]" label != null) (
      text.splitOn "." input
    );

  # An IPv6 address: eight groups, or fewer with a `::` for the others.
  isAddress =
    input:
    let
      groups = part: if part == "" then [ ] else text.splitOn ":" part;
      isGroup = group: match "[0-9A-Fa-f]{1,4}" group != null;
      whole = groups input;
      around = match "(.*)::(.*)" input;
      both = groups (elemAt around 0) ++ groups (elemAt around 1);
    in
    stringLength input <= 39
    && (
      if around == null then
        length whole == 8 && all isGroup whole
      else
        length both <= 7 && all isGroup both
    );

  # Components joined by `/`, each of lower-case letters and digits parted by
  # one dot, one or two underscores, or any number of hyphens.
  isRepository = input: all isComponent (text.splitOn "/" input);
  isComponent =
    component:
    let
      alphanumeric = text.digits ++ text.lowerCase;
      last = stringLength component - 1;
      # What stands between the letters and digits.
      separators = text.splitOn "/" (replaceStrings alphanumeric (map (_: "/") alphanumeric) component);
    in
    component != ""
    && elem (substring 0 1 component) alphanumeric
    && elem (substring last 1 component) alphanumeric
    && all (
      separator:
      elem separator [
        ""
        "."
        "_"
        "__"
      ]
      || text.isMadeOf [ "-" ] separator
    ) separators;

  # An image ID, which a whole reference must not look like.
  isIdentifier = input: stringLength input == 64 && text.isMadeOf hexadecimal input;
  identifier = fail "64 hexadecimal digits are an image ID, not an image; write the image's name";

  # The image that is `input`, with nothing before or after it.
  parseParts =
    input:
    let
      parts = splitRegistry input;
      lower = text.lower input;
      upperCase = fail "a repository is written in lower case; did you mean ${text.quoted lower}?";
      host = text.lower parts.host;
      registry = if parts.host == null || host == "index.docker.io" then dockerHub else host;
      isOfficial =
        registry == dockerHub
        && text.hasPrefix official parts.path
        && !text.contains [ "/" ] (text.dropPrefix official parts.path);
      path = if isOfficial then text.dropPrefix official parts.path else parts.path;
      repository = if registry == dockerHub && !text.contains [ "/" ] path then official + path else path;
    in
    if input == "" then
      fail "it is empty; write one such as 'docker.io/nextcloud:34'"
    else if parts.host != null && !isRegistry parts.host then
      fail (
        "${text.quoted parts.host} is no registry; write a host name with an optional port, "
        + "such as 'ghcr.io' or 'localhost:5000'"
      )
    else if parts.host != null && (splitRegistry lower).host == null then
      upperCase
    else if !isRepository parts.path then
      if lower != input && parseParts lower ? value then
        upperCase
      else
        fail (
          "${text.quoted parts.path} is no repository; it is made of lower-case letters and digits, "
          + "parted by '/', '.', '_', '__' or hyphens"
        )
    else if stringLength repository > longestRepository then
      fail "its repository is longer than ${toString longestRepository} characters"
    else
      ok {
        image = "${registry}/${path}";
        inherit registry repository;
      };

  parseReference =
    input:
    let
      parts = text.splitOnce "@" input;
      hasDigest = parts != null;
      digest = if hasDigest then digests.parse parts.after else ok null;
      rest = if hasDigest then parts.before else input;
      components = text.splitOn "/" rest;
      words = text.splitOn ":" (elemAt components (length components - 1));
      hasTag = length words > 1;
      tagText = elemAt words (length words - 1);
      name = if hasTag then substring 0 (stringLength rest - stringLength tagText - 1) rest else rest;
    in
    if isIdentifier input then
      identifier
    else
      andThen digest (
        digest:
        andThen (parseParts name) (
          name:
          ok (
            name
            // {
              inherit digest;
              tag = if hasTag then tagText else null;
            }
          )
        )
      );

  invalid = input: reason: "invalid image reference ${text.quoted input}: ${reason}";
in
{
  inherit invalid;

  # A reference: an image, maybe a tag, maybe a digest (null without).
  parse =
    input:
    orElse (andThen (parseReference input) (
      reference:
      if reference.tag == null then ok reference else andThen (tags.parse reference.tag) (_: ok reference)
    )) (invalid input);

  # A reference whose tag may be any text, such as a version requirement.
  parseWritten = input: orElse (parseReference input) (invalid input);

  # A parsed reference in its one written form.
  toText =
    reference:
    reference.image
    + (if reference.tag == null then "" else ":${reference.tag}")
    + (if reference.digest == null then "" else "@${reference.digest}");

  # A name as it is written, without its registry.
  pathOf =
    image:
    let
      parts = text.splitOnce "/" image;
    in
    if parts == null then "" else parts.after;
}
