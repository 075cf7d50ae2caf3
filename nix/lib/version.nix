# The versions that tags name: numbers, prereleases, builds and variants.
let
  text = import ./text.nix;
  inherit (import ./number.nix) number ofInt;
  inherit (builtins)
    any
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

  # From this many hexadecimal digits on, a suffix is a commit or a build.
  isBuild = segment: match "[0-9A-Fa-f]{7,}" segment != null;

  takeSegment =
    version: segment:
    let
      prerelease = parsePrerelease segment;
      # What follows a prerelease after a dot.
      more = if prerelease.rest == "" then "" else "-" + text.dropPrefix "." prerelease.rest;
    in
    if prerelease != null then
      version
      // {
        stability = if version.stability == release then prerelease.key else version.stability;
        variant = version.variant + more;
      }
    else if isBuild segment then
      version // { build = "${version.build}-${segment}"; }
    else
      version // { variant = "${version.variant}-${segment}"; };
in
{
  inherit parsePrerelease release;

  # The version that a tag names; null for a word such as `stable`.
  parse =
    tag:
    let
      isPrefixed = text.hasPrefix "v" tag;
      found = leadingNumbers (if isPrefixed then text.dropPrefix "v" tag else tag);
      suffixed = text.splitOnce "-" found.rest;
      attached = if suffixed == null then found.rest else suffixed.before;
      prerelease = parsePrerelease (head (match "[._]*(.*)" attached));
      isVersion = attached == "" || prerelease != null && prerelease.rest == "";
      start = {
        inherit (found) numbers;
        inherit isPrefixed;
        stability = if attached == "" then release else prerelease.key;
        variant = "";
        build = "";
      };
      segments = if suffixed == null then [ ] else text.splitOn "-" suffixed.after;
    in
    # Longer than a tag can be, and too long for a regular expression.
    if stringLength tag > 128 || found == null || !isVersion then
      null
    else
      foldl' takeSegment start segments;

  # How many numbers it has, of which more than three count as three.
  precision = version: if length version.numbers > 3 then 3 else length version.numbers;

  # What orders releases: numbers and prerelease. The characters that part the
  # fields sort before all that stand in them.
  releaseKey = version: "${concatStringsSep "." version.numbers} ${version.stability}";

  # What orders versions altogether.
  key =
    version:
    "${concatStringsSep "." version.numbers} ${version.stability} ${version.variant} "
    + "${if version.isPrefixed then "1" else "0"} ${version.build}";

  # Whether it is one number so long that it is a commit or a date.
  mayBeCommitOrDate =
    version:
    !version.isPrefixed && length version.numbers == 1 && head version.numbers >= ofInt 1000000;
}
