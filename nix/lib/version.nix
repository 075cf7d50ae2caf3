# The versions that tags name: numbers, prereleases, builds and variants.
#
# Versions are ordered by lists, which Nix compares item by item.
let
  text = import ./text.nix;
  numbers = import ./number.nix;
  tags = import ./tag.nix;
  inherit (import ./list.nix) last take;
  inherit (builtins)
    elem
    elemAt
    head
    length
    match
    stringLength
    tail
    ;

  # The words that mark a prerelease, and their stage on the way to the release.
  stages = {
    dev = 0;
    snapshot = 0;
    nightly = 0;
    canary = 0;
    unstable = 0;
    alpha = 1;
    a = 1;
    beta = 2;
    b = 2;
    milestone = 3;
    m = 3;
    ea = 3;
    pre = 4;
    preview = 4;
    prerelease = 4;
    rc = 5;
    c = 5;
    cr = 5;
  };

  # The stability of a release. That of a prerelease begins with 0, so it is below.
  release = [ 1 ];

  # The default fields of a version.
  plain = {
    numbers = [ ];
    stability = release;
    builds = [ ];
    variant = "";
    build = "";
    isPrefixed = false;
    mayBeCommitOrDate = false;
  };

  # The numbers in a text such as `34.0.4`; null if one has more than 64 bits. The
  # input null, which `match` returns for an absent group, has no numbers.
  parseNumbers =
    input:
    let
      values = map numbers.parse (text.splitOn "." input);
    in
    if input == null then
      [ ]
    else if elem null values then
      null
    else
      values;

  # The prerelease at the start of `input`, as { stability, rest }. The rest is empty, or
  # starts with a dot (`rc42.ce.0`). Null if `input` starts with no prerelease.
  leadingPrerelease =
    input:
    let
      found = match "([A-Za-z]*)([._]*([0-9]+([.][0-9]+)*))?(.*)" input;
      word = text.lower (head found);
      values = parseNumbers (elemAt found 2);
      isTooLarge = values == null;
      rest = if isTooLarge then elemAt found 1 + last found else last found;
      stability = [
        0
        stages.${word}
        (if isTooLarge then [ ] else values)
      ];
      # A single letter is a mark only with its number: `b1`, not `-b`.
      isMark = stages ? ${word} && (stringLength word > 1 || last stability != [ ]);
    in
    if isMark && (rest == "" || text.hasPrefix "." rest) then { inherit stability rest; } else null;

  # The stability of the prerelease that `input` is; null where it is none.
  parsePrerelease =
    input:
    let
      found = leadingPrerelease input;
    in
    if found != null && found.rest == "" then found.stability else null;

  # From this many digits on, a suffix is a commit or a build, and a lone number a
  # commit or a date.
  isLong = digits: stringLength digits >= 7;

  # Whether a part of a suffix is a hexadecimal build, whatever the other tags are. It
  # has a letter, unlike a number, and a digit, unlike a word.
  isHexBuild =
    segment:
    isLong segment
    && !text.contains "[^0-9A-Fa-f]" segment
    && text.contains "[0-9]" segment
    && text.contains "[A-Fa-f]" segment;

  # The version with one more part of its suffix.
  takeSegment =
    { builds, words }:
    version: segment:
    let
      # Digits alone are a build if the image has hexadecimal builds of the same length.
      isBuild = elem (stringLength segment) builds && !text.contains "[^0-9]" segment;
      prerelease = leadingPrerelease segment;
      withVariant = part: version // { variant = "${version.variant}-${part}"; };
      # After a dot, the variant goes on.
      more = if prerelease.rest == "" then version else withVariant (text.dropPrefix "." prerelease.rest);
    in
    if isHexBuild segment || isBuild then
      version // { build = "${version.build}-${segment}"; }
    else if elem segment words || prerelease == null then
      withVariant segment
    else if version.stability == release then
      more // { inherit (prerelease) stability; }
    else
      more;

  # Numbers without the zeros at their end: `34` is `34.0`.
  significant =
    values:
    if values != [ ] && last values == numbers.zero then
      significant (take (length values - 1) values)
    else
      values;

  # Booleans as numbers, because Nix cannot order Booleans.
  rank = condition: if condition then 1 else 0;
in
rec {
  inherit isLong parsePrerelease release;

  # The version that a tag names; null for a word such as `stable`. `builds` are the
  # lengths of the image's builds. Of the words that mark a prerelease, `words` are
  # part of the variant.
  parseAmong =
    context: tag:
    let
      found = match "v?([0-9]+([.][0-9]+)*)([^-]*)(-.*)?" tag;
      values = parseNumbers (head found);
      # What follows the numbers without a hyphen can only be a prerelease.
      attached = elemAt found 2;
      prerelease = parsePrerelease (head (match "[._]*(.*)" attached));
      segments = text.splitOn "-" tag;
      isPrefixed = text.hasPrefix "v" tag;
      start = plain // {
        numbers = values;
        stability = if attached == "" then release else prerelease;
        inherit isPrefixed;
        mayBeCommitOrDate = !isPrefixed && length values == 1 && isLong (head found);
      };
    in
    if stringLength tag > tags.longest || found == null || values == null then
      null
    # The first digits of a commit hash can be decimal, as those of a version.
    else if start.stability == null || isHexBuild (head segments) then
      null
    else
      builtins.foldl' (takeSegment context) start (tail segments);

  parse = parseAmong {
    builds = [ ];
    words = [ ];
  };

  # How long the hexadecimal builds among the version tags of one image are.
  buildLengths =
    tags:
    let
      isVersion = tag: match "v?[0-9].*" (builtins.substring 0 2 tag) != null;
      segments = tag: if isVersion tag then tail (text.splitOn "-" tag) else [ ];
    in
    map stringLength (builtins.filter isHexBuild (builtins.concatMap segments tags));

  # The version that a pin records for a tag matched by a pattern, such as `17.0.8+7`
  # with the variant `-jdk`; null for any other text.
  fromPin =
    recorded: variant:
    let
      number = "(0|[1-9][0-9]*)";
      found = match "(${number}([.]${number}){0,3})([+](${number}([.]${number})*))?" recorded;
      version = plain // {
        numbers = parseNumbers (head found);
        builds = parseNumbers (elemAt found 5);
        inherit variant;
      };
      isVariant = variant == "" || text.hasPrefix "-" variant && tags.isTag "1${variant}";
    in
    if stringLength recorded > 200 || found == null || !isVariant then
      null
    else if version.numbers == null || version.builds == null then
      null
    else
      version;

  # Whether `word` marks a prerelease without a number, as `dev` does.
  isWord =
    word:
    let
      prerelease = parsePrerelease word;
    in
    prerelease != null && last prerelease == [ ];

  # The sort key among the versions that satisfy a requirement. Of equal versions, one
  # with more numbers is higher, and so is one without a build or without a `v`.
  # `captured` are the numbers that each `#` of the variant stands for.
  order = version: captured: [
    (significant version.numbers)
    version.stability
    (length version.numbers)
    captured
    version.builds
    (rank (version.build == ""))
    version.build
    (rank (!version.isPrefixed))
  ];

  # The sort key among versions of any variant.
  key = version: [
    version.numbers
    version.stability
    version.builds
    version.variant
    (rank version.isPrefixed)
    version.build
    (rank version.mayBeCommitOrDate)
  ];
}
