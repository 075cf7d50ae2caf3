# Version requirements in semver's words: `>=33`, `^2`, `~1.4`, `>=1, <3`.
let
  text = import ./text.nix;
  numbers = import ./number.nix;
  versions = import ./version.nix;
  inherit (import ./result.nix)
    andThen
    collect
    fail
    ok
    orElse
    ;
  inherit (builtins)
    all
    any
    concatLists
    concatStringsSep
    elem
    elemAt
    filter
    foldl'
    genList
    head
    isString
    length
    map
    match
    split
    stringLength
    tail
    ;

  # Longest requirement, in bytes.
  longest = 255;
  # Most numbers that a version has in a requirement.
  mostNumbers = 3;

  malformed = what: fail "${what}; write one such as '>=33', '^2', '~1.4' or '>=1, <3'";
  # Offers those of `spellings` that are requirements.
  spelling =
    what: spellings:
    let
      good = filter (spelled: checked spelled ? value) spellings;
    in
    if good == [ ] then
      malformed what
    else
      fail "${what}; write ${concatStringsSep " or " (map (spelled: "'${spelled}'") good)}";

  isOperator = character: elem character (text.characters "^~<>=!");

  # What may be meant by an operator that there is not.
  meant = {
    "==" = [ "=" ];
    "=>" = [ ">=" ];
    "=<" = [ "<=" ];
    "~>" = [
      "~"
      "^"
    ];
    "!=" = [
      "<"
      ">"
    ];
  };
  operators = [
    "="
    ">"
    ">="
    "<"
    "<="
    "~"
    "^"
  ];

  # The comparators in the text between two commas, each with its operator.
  words =
    part:
    let
      found = filter (word: word != "") (text.splitOn " " part);
      word = elemAt found;
      isRange = length found == 3 && word 1 == "-" && match "[0-9].*" (word 0) != null;
      endsWithOperator = last: isOperator (builtins.substring (stringLength last - 1) 1 last);
      join =
        joined: word:
        let
          last = elemAt joined (length joined - 1);
        in
        if joined != [ ] && endsWithOperator last then
          genList (elemAt joined) (length joined - 1) ++ [ (last + word) ]
        else
          joined ++ [ word ];
    in
    if found == [ ] then
      malformed "a version is missing"
    else if isRange then
      spelling "a range has no hyphen" [ ">=${word 0}, <=${word 2}" ]
    else
      ok (foldl' join [ ] found);

  # A comparator { operator, major, minor, patch, pre, key }, with null for what is
  # left out; null for a lone wildcard.
  comparator =
    input:
    let
      taken = match "([<>=!~^]*)(.*)" input;
      operator = head taken;
      version = elemAt taken 1;
      suffixed = text.splitOnce "-" version;
      prerelease = if suffixed == null then null else suffixed.after;
      parts = text.splitOn "." (if suffixed == null then version else suffixed.before);
      isWildcard =
        part:
        elem part [
          "*"
          "x"
          "X"
        ];
      wildcards = filter (i: isWildcard (elemAt parts i)) (genList (i: i) (length parts));
      given = if wildcards == [ ] then length parts else head wildcards;
      hasWildcard = given < length parts;
      isVersion =
        all (i: match "[0-9]+" (elemAt parts i) != null) (genList (i: i) given)
        && length wildcards == length parts - given;
      first = count: concatStringsSep "." (genList (elemAt parts) count);
      values = genList (i: numbers.number (elemAt parts i)) given;
      large = filter (i: elemAt values i == null) (genList (i: i) given);
      value = i: if given > i then elemAt values i else null;
      pre = versions.parsePrerelease prerelease;
      zeros = concatStringsSep "" (genList (_: ".0") (mostNumbers - given));
      noVersion = malformed "${text.quoted version} is no version";
    in
    if version == "" then
      malformed "a version is missing behind '${operator}'"
    else if text.hasPrefix "v" version then
      spelling "a version has no 'v' here" [ (operator + text.dropPrefix "v" version) ]
    else if operator != "" && !elem operator operators then
      (if meant ? ${operator} then spelling else what: _: malformed what) "'${operator}' is no operator" (
        map (operator: operator + version) meant.${operator} or [ ]
      )
    else if !isVersion then
      noVersion
    else if length parts > mostNumbers then
      spelling "a requirement has at most ${toString mostNumbers} numbers" [
        (operator + first mostNumbers)
      ]
    else if large != [ ] then
      malformed "'${elemAt parts (head large)}' is too large"
    else if prerelease != null && (pre == null || pre.rest != "") then
      malformed "${text.quoted "-${prerelease}"} is no prerelease, and a variant has an argument of its own"
    else if prerelease != null && given < mostNumbers then
      if hasWildcard then
        noVersion
      else
        spelling "a prerelease goes with ${toString mostNumbers} numbers" [
          "${operator}${first given}${zeros}-${prerelease}"
        ]
    else if given == 0 then
      if operator == "" then ok null else noVersion
    else if operator == "" && !hasWildcard then
      spelling "a version has no operator" [
        "^${input}"
        "=${input}"
      ]
    else
      ok {
        operator = if operator == "" then "=" else operator;
        major = value 0;
        minor = value 1;
        patch = value 2;
        pre = prerelease;
        key = if prerelease == null then versions.release else pre.key;
        isLong = versions.isLong (head parts);
      };

  # The comparators of an alternative.
  alternative =
    input:
    let
      ofPart = part: andThen (words part) (collect comparator);
    in
    andThen (collect ofPart (text.splitOn "," input)) (
      found: ok (filter (comparator: comparator != null) (concatLists found))
    );

  # A comparison of the numbers from the first that differs on, those that the
  # comparator leaves out being `otherwise`.
  compare =
    { isBetter, otherwise }:
    comparator: version:
    if version.major != comparator.major then
      isBetter version.major comparator.major
    else if comparator.minor == null then
      otherwise
    else if version.minor != comparator.minor then
      isBetter version.minor comparator.minor
    else if comparator.patch == null then
      otherwise
    else if version.patch != comparator.patch then
      isBetter version.patch comparator.patch
    else
      isBetter version.stability comparator.key;

  isGreater = compare {
    isBetter = a: b: a > b;
    otherwise = false;
  };
  isLess = compare {
    isBetter = a: b: a < b;
    otherwise = false;
  };
  isEqual =
    comparator: version:
    version.major == comparator.major
    && (comparator.minor == null || version.minor == comparator.minor)
    && (comparator.patch == null || version.patch == comparator.patch)
    && version.stability == comparator.key;
  isAtLeast = compare {
    isBetter = a: b: a >= b;
    otherwise = true;
  };
  # The number that a caret holds fast, beside those before it.
  caretHolds =
    comparator: version:
    if comparator.major != numbers.zero || comparator.minor == null then
      true
    else if comparator.minor != numbers.zero || comparator.patch == null then
      version.minor == comparator.minor
    else
      version.minor == comparator.minor && version.patch == comparator.patch;

  satisfies =
    comparator: version:
    let
      sameMajor = version.major == comparator.major;
      sameMinor = comparator.minor == null || version.minor == comparator.minor;
    in
    {
      "=" = isEqual comparator version;
      ">" = isGreater comparator version;
      ">=" = isEqual comparator version || isGreater comparator version;
      "<" = isLess comparator version;
      "<=" = isEqual comparator version || isLess comparator version;
      "~" =
        sameMajor
        && sameMinor
        && (
          if comparator.patch == null then
            version.stability >= comparator.key
          else
            isAtLeast comparator version
        );
      "^" = sameMajor && caretHolds comparator version && isAtLeast comparator version;
    }
    .${comparator.operator};

  # Whether the three numbers of a version, missing ones being `missing`, satisfy all
  # comparators. A prerelease satisfies only if one names it with the same numbers.
  holds =
    comparators: version: missing:
    let
      value = i: if length version.numbers > i then elemAt version.numbers i else missing;
      triple = {
        major = value 0;
        minor = value 1;
        patch = value 2;
        inherit (version) stability;
      };
      namesPrerelease =
        comparator:
        comparator.pre != null
        && comparator.major == triple.major
        && comparator.minor == triple.minor
        && comparator.patch == triple.patch;
    in
    all (comparator: satisfies comparator triple) comparators
    && (version.stability == versions.release || any namesPrerelease comparators);

  # The alternatives of a requirement.
  checked =
    input:
    if stringLength input > longest then
      fail "it is longer than ${toString longest} characters"
    else if !text.isMadeOf text.printable input then
      fail "no version has the character ${text.quoted (text.firstOther text.printable input)}"
    else
      collect alternative (filter isString (split "[|][|]" input));
in
{
  # Whether `input` can only be meant as a requirement: no tag has such characters,
  # or it ends in a wildcard such as `34.x`.
  isRequirement =
    input:
    text.contains [
      "^"
      "~"
      "<"
      ">"
      "="
      "*"
      ","
      "|"
      "!"
    ] input
    || length (filter (word: word != "") (text.splitOn " " input)) > 1
    || any (part: part == "x" || part == "X") (tail (text.splitOn "." input));

  # The requirement: its text, and whether a version satisfies it. A version of one
  # or two numbers stands for every version that begins with them, and satisfies it
  # only if all of these do. A commit or a date satisfies only a requirement that
  # names such a number.
  parse =
    input:
    andThen
      (orElse (checked input) (reason: "invalid version requirement ${text.quoted input}: ${reason}"))
      (
        alternatives:
        ok {
          text = input;
          matches =
            version:
            any (
              comparators:
              (!version.mayBeCommitOrDate || any (comparator: comparator.isLong) comparators)
              && holds comparators version numbers.zero
              && (
                version.stability != versions.release
                || length version.numbers >= mostNumbers
                || holds comparators version numbers.largest
              )
            ) alternatives;
        }
      );
}
