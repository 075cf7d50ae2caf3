# Image names and references, by the rules of distribution/reference.
let
  text = import ./text.nix;
  numbers = import ./number.nix;
  digests = import ./digest.nix;
  tags = import ./tag.nix;
  inherit (import ./list.nix) last;
  inherit (import ./result.nix) allOf fail ok;
  inherit (builtins) head match stringLength;

  dockerHub = "docker.io";
  # Longest repository path (distribution/reference).
  longestRepository = 255;
  # Longest registry: 253 characters of a domain name, a colon, and a port of up to
  # 255 digits, most of them zeros.
  longestRegistry = 509;

  # Longest reference that `parseCommon` parses.
  longestCommon = 200;

  # Whether the first component of a name is a registry. Without a dot, a colon or
  # an upper-case letter it is a namespace on Docker Hub, unless it is `localhost`.
  isHost = component: component == "localhost" || text.contains "[.:A-Z]" component;

  # `host[:port]`, where the host is a domain name, an IPv4 address, or an IPv6
  # address in brackets.
  isRegistry =
    input:
    let
      withPort = match "(.*):([0-9]+)" input;
      host = if withPort == null then input else head withPort;
      port = numbers.parse (last withPort);
      address = match "\\[(.*)]" host;
    in
    stringLength input <= longestRegistry
    && (withPort == null || port != null && port <= numbers.largestPort)
    && (if address == null then isDomain host else isAddress (head address));

  isDomain = input: stringLength input <= 253 && match "${label}([.]${label})*" input != null;
  label = "[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?";

  # An IPv6 address: eight groups, or fewer with a `::` for the others.
  isAddress =
    input:
    let
      groups = "[0-9A-Fa-f]{1,4}(:[0-9A-Fa-f]{1,4})*";
      count = builtins.length (builtins.filter (part: part != "") (text.splitOn ":" input));
      isWhole = count == 8 && match groups input != null;
      isShort = count < 8 && match "(${groups})?::(${groups})?" input != null;
    in
    stringLength input <= 39 && (isWhole || isShort);

  # Components joined by `/`, each of lower-case letters and digits separated by
  # one dot, one or two underscores, or any number of hyphens. The expression finds
  # other characters, and other separators beside each other or at an end.
  isRepository = path: !text.contains "[^a-z0-9._/-]|[./][._/-]|_[./-]|___|-[._/]" "/${path}/";

  # The image { image, registry, repository } of a name without tag and digest.
  parseName =
    input:
    let
      parts = text.splitOnce "/" input;
      hasHost = parts.after != null && isHost parts.before;
      host = text.lower parts.before;
      path = if hasHost then parts.after else input;
      lower = text.lower input;
      isPath = isRepository path;
      # In lower case, the host would be none, or the path would be right.
      isUpperCase =
        hasHost && host != parts.before && !isHost host
        || !isPath && lower != input && parseName lower ? value;

      image = imageOf (if hasHost then host else dockerHub) path;
    in
    if input == "" then
      fail "it is empty; write one such as 'docker.io/nextcloud:34'"
    else if hasHost && !isRegistry parts.before then
      fail "${text.quoted parts.before} is no registry; write a host name with an optional port, such as 'ghcr.io' or 'localhost:5000'"
    else if isUpperCase then
      fail "a repository is written in lower case; did you mean ${text.quoted lower}?"
    else if !isPath then
      fail "${text.quoted path} is no repository; it is made of lower-case letters and digits, parted by '/', '.', '_', '__' or hyphens"
    else if stringLength image.repository > longestRepository then
      fail "its repository is longer than ${toString longestRepository} characters"
    else
      ok image;

  # The image of a registry and a path, both without mistakes.
  imageOf =
    host: path:
    let
      registry = if host == "index.docker.io" then dockerHub else host;
      # The official images of Docker Hub are in `library/`, which is not written.
      name = if text.hasPrefix "library/" path then text.dropPrefix "library/" path else path;
      isOfficial = registry == dockerHub && !text.has "/" name;
    in
    {
      image = "${registry}/${if isOfficial then name else path}";
      inherit registry;
      repository = if isOfficial then "library/${name}" else path;
    };

  # A reference of the most common form: in lower case, with a dot in the registry, no
  # port and no digest.
  commonForm =
    let
      words = separators: "[a-z0-9]+([${separators}][a-z0-9]+)*";
      registry = "(${words "-"}([.]${words "-"})+)";
    in
    "${registry}/(${words "._/-"})(:(${tags.expression}))?";

  # Parses a reference of the most common form. Null for any other, which may be valid
  # too. This takes a tenth of the time of the parser for all references.
  parseCommon =
    input:
    let
      found = match commonForm input;
      at = builtins.elemAt found;
    in
    # The limit is that of the stack that the expression uses.
    if stringLength input > longestCommon || found == null then
      null
    else
      imageOf (at 0) (at 4)
      // {
        tag = at 7;
        digest = null;
      };

  # An image ID, which a whole reference must not look like.
  isIdentifier = input: stringLength input == 64 && match "[0-9A-Fa-f]*" input != null;

  # The result for the reference `input`, which an error names.
  named =
    input: result:
    if result ? error then
      fail "invalid image reference ${text.quoted input}: ${result.error}"
    else
      result;
in
rec {
  # A reference: { image, registry, repository, tag, digest }; the last two are null
  # where it has none.
  parse =
    input:
    let
      reference = parseWritten input;
    in
    allOf [
      reference
      (checkTag input reference.value)
      reference
    ];

  # A reference whose tag may be any text, such as a version requirement.
  parseWritten =
    input:
    let
      parts = text.splitOnce "@" input;
      digest = parts.after;
      # A colon before the last `/` is that of a port.
      path = text.afterLast "/" parts.before;
      tag = text.afterLast ":" (if path == null then parts.before else path);
      tagLength = if tag == null then 0 else stringLength ":${tag}";
      name = parseName (builtins.substring 0 (stringLength parts.before - tagLength) parts.before);
      common = parseCommon input;
    in
    named input (
      if common != null then
        ok common
      else if isIdentifier input then
        fail "64 hexadecimal digits are an image ID, not an image; write the image's name"
      else
        allOf [
          (if digest == null then ok null else digests.parse digest)
          name
          (ok (name.value // { inherit digest tag; }))
        ]
    );

  # An error if a written reference has a tag that is none.
  checkTag =
    input: reference: if reference.tag == null then ok null else named input (tags.parse reference.tag);

  # A parsed reference in its one written form.
  toText =
    reference:
    reference.image
    + (if reference.tag == null then "" else ":${reference.tag}")
    + (if reference.digest == null then "" else "@${reference.digest}");
}
