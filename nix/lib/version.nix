# The versions that tags name: numbers, prereleases, builds and variants.
let
  text = import ./text.nix;
  inherit (import ./number.nix) number ofInt zero;
  inherit (import ./tag.nix) isTag;
  inherit (builtins)
    any
    concatMap
    concatStringsSep
    elem
    elemAt
    filter
    foldl'
    genList
    head
    length
    map
    match
    stringLength
    substring
    ;

  # The words that mark a prerelease, a row for each stage of a release, from
  # the earliest to the last.
  stages = [
    [
      "dev"
      "snapshot"
      "nightly"
      "canary"
      "unstable"
    ]
    [
      "alpha"
      "a"
    ]
    [
      "beta"
      "b"
    ]
    [
      "milestone"
      "m"
      "ea"
    ]
    [
      "pre"
      "preview"
      "prerelease"
    ]
    [
      "rc"
      "c"
      "cr"
    ]
  ];
  stageOf =
    word:
    let
      found = filter (i: elem word (elemAt stages i)) (genList (i: i) (length stages));
    in
    if found == [ ] then null else head found;

  # Numbers joined by dots at the start of `input`, and the rest of it; null
  # without any, and for numbers over 64 bits.
  leadingNumbers =
    input:
    let
      found = match "([0-9]+([.][0-9]+)*)(.*)" input;
      numbers = map number (text.splitOn "." (elemAt found 0));
    in
    if found == null || any (n: n == null) numbers then
      null
    else
      {
        inherit numbers;
        rest = elemAt found 2;
      };

  # The prerelease that `input` starts with, and what follows: nothing, or more
  # from a dot on (`rc42.ce.0`); null where it starts with none.
  parsePrerelease =
    input:
    let
      found = match "([A-Za-z]*)([._]*)(.*)" input;
      word = text.lower (elemAt found 0);
      stage = stageOf word;
      behind = leadingNumbers (elemAt found 2);
      numbers = if behind == null then [ ] else behind.numbers;
      rest = if behind == null then elemAt found 1 + elemAt found 2 else behind.rest;
      # A single letter is a mark only with its number: `b1`, not `-b`.
      isMarked = stringLength word > 1 || numbers != [ ];
    in
    if found != null && stage != null && isMarked && (rest == "" || text.hasPrefix "." rest) then
      {
        key = prereleaseKey ([ (ofInt stage) ] ++ numbers);
        inherit rest;
      }
    else
      null;

  # A key sorts as what it stands for does: a prerelease before its release.
  prereleaseKey = numbers: "0" + concatStringsSep "." numbers;
  release = "1";

  # From this many digits on, a suffix is a commit or a build, and a lone number a
  # commit or a date.
  isLong = digits: stringLength digits >= 7;

  # Whether a part of a suffix is a build by itself. A letter and a digit tell it
  # from a word and from a build number.
  isHexBuild =
    segment:
    match "[0-9A-Fa-f]{7,}" segment != null
    && match ".*[0-9].*" segment != null
    && match ".*[A-Fa-f].*" segment != null;

  # A suffix of digits alone is a build where the image has builds as long.
  isBuild =
    builds: segment:
    isHexBuild segment
    || builds != [ ] && elem (stringLength segment) builds && match "[0-9]+" segment != null;

  takeSegment =
    { builds, words }:
    version: segment:
    let
      prerelease = parsePrerelease segment;
      # What follows a prerelease after a dot.
      more = if prerelease.rest == "" then "" else "-" + text.dropPrefix "." prerelease.rest;
    in
    if isBuild builds segment then
      version // { build = "${version.build}-${segment}"; }
    else if elem segment words then
      version // { variant = "${version.variant}-${segment}"; }
    else if prerelease != null then
      version
      // {
        stability = if version.stability == release then prerelease.key else version.stability;
        variant = version.variant + more;
      }
    else
      version // { variant = "${version.variant}-${segment}"; };

  # The version that a tag names, for an image with builds of these lengths, where
  # `words` that mark a prerelease are part of the variant; null for a word such as
  # `stable`.
  parseAmong =
    context: tag:
    let
      isPrefixed = text.hasPrefix "v" tag;
      bare = if isPrefixed then text.dropPrefix "v" tag else tag;
      found = leadingNumbers bare;
      suffixed = text.splitOnce "-" found.rest;
      attached = if suffixed == null then found.rest else suffixed.before;
      prerelease = parsePrerelease (head (match "[._]*(.*)" attached));
      isVersion = attached == "" || prerelease != null && prerelease.rest == "";
      start = {
        inherit (found) numbers;
        inherit isPrefixed;
        stability = if attached == "" then release else prerelease.key;
        builds = [ ];
        variant = "";
        build = "";
        mayBeCommitOrDate =
          !isPrefixed
          && length found.numbers == 1
          && isLong (substring 0 (stringLength bare - stringLength found.rest) bare);
      };
      # A commit begins like a version where its first digits are decimal.
      first = head (text.splitOn "-" tag);
      segments = if suffixed == null then [ ] else text.splitOn "-" suffixed.after;
    in
    # Longer than a tag can be, and too long for a regular expression.
    if stringLength tag > 128 || found == null || isHexBuild first || !isVersion then
      null
    else
      foldl' (takeSegment context) start segments;

  # Numbers without the zeros at their end: `34` is `34.0`.
  significant =
    numbers:
    let
      isZero = i: elemAt numbers i == zero;
      others = filter (i: !isZero i) (genList (i: i) (length numbers));
      last = if others == [ ] then 0 else elemAt others (length others - 1) + 1;
    in
    genList (elemAt numbers) last;

  join = concatStringsSep ".";
in
{
  inherit
    isLong
    parseAmong
    parsePrerelease
    release
    ;

  parse = parseAmong {
    builds = [ ];
    words = [ ];
  };

  # How long the hexadecimal builds among the version tags of one image are.
  buildLengths =
    tags:
    let
      segments = concatMap (
        tag: if match "v?[0-9].*" tag == null then [ ] else builtins.tail (text.splitOn "-" tag)
      ) tags;
    in
    map stringLength (filter isHexBuild segments);

  # What a pin records of a tag that a pattern has read; null for any other text.
  fromPin =
    numbers: variant:
    let
      one = "(0|[1-9][0-9]*)";
      found = match "(${one}([.]${one}){0,3})([+](${one}([.]${one})*))?" numbers;
      parse = part: map number (text.splitOn "." part);
      builds = elemAt found 5;
      version = {
        numbers = parse (elemAt found 0);
        isPrefixed = false;
        stability = release;
        builds = if builds == null then [ ] else parse builds;
        inherit variant;
        build = "";
        mayBeCommitOrDate = false;
      };
      isVariant = variant == "" || text.hasPrefix "-" variant && isTag "1${variant}";
    in
    if stringLength numbers > 200 || found == null || !isVariant then
      null
    else if elem null (version.numbers ++ version.builds) then
      null
    else
      version;

  # Whether `text` is a word of a prerelease without a number, such as `dev`.
  isWord =
    word:
    let
      found = parsePrerelease word;
    in
    found != null && found.rest == "" && match "[A-Za-z]+[._]*" word != null;

  # What orders the versions that a requirement chooses among; `numbers` are what
  # each `#` of the variant stands for. The characters that part the fields sort
  # before all that stand in them.
  order =
    version: numbers:
    concatStringsSep " " [
      (join (significant version.numbers))
      version.stability
      (ofInt (length version.numbers))
      (join numbers)
      (join version.builds)
      (if version.build == "" then "1" else "0${version.build}")
      (if version.isPrefixed then "0" else "1")
    ];

  # What orders versions altogether.
  key =
    version:
    "${join version.numbers} ${version.stability} ${join version.builds} ${version.variant} "
    + "${if version.isPrefixed then "1" else "0"} ${version.build} "
    + (if version.mayBeCommitOrDate then "1" else "0");
}
