# Version requirements in semver syntax: `>=33`, `^2`, `~1.4`, `>=1, <3`.
let
  text = import ./text.nix;
  numbers = import ./number.nix;
  versions = import ./version.nix;
  inherit (import ./list.nix) take;
  inherit (import ./result.nix) allOf fail ok;
  inherit (builtins) concatStringsSep elemAt filter;
  inherit (builtins) head length match;

  # Longest requirement, in bytes. This limits the stack that regular expressions use.
  longest = 255;

  # For each operator, whether a comparator holds, given the result of `compare`.
  operators = {
    "=" = is: is.equal;
    ">" = is: is.above;
    ">=" = is: is.equal || is.above;
    "<" = is: is.below;
    "<=" = is: is.equal || is.below;
    "~" = is: is.same 2 && (is.equal || is.above);
    "^" = is: is.same is.fixed && (is.equal || is.above || is.within);
  };

  # The operators of other tools, and what they may mean.
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

  # Compares a version of three numbers with a comparator. If the comparator has fewer
  # numbers, a version that begins with them is neither above nor below it.
  compare =
    comparator: version:
    let
      wanted = comparator.numbers;
      count = length wanted;
      given = take count version.numbers;
      begins = given == wanted;
      isWhole = count == 3;
      isZero = i: elemAt wanted i == numbers.zero;
    in
    {
      equal = begins && version.stability == comparator.stability;
      above = given > wanted || begins && isWhole && version.stability > comparator.stability;
      below = given < wanted || begins && isWhole && version.stability < comparator.stability;
      within = begins && !isWhole;
      # Whether the first numbers are the same.
      same = first: take first given == take first wanted;
      # How many numbers `^` fixes: up to the first that is not zero.
      fixed =
        if count == 1 || !isZero 0 then
          1
        else if count == 2 || !isZero 1 then
          2
        else
          3;
    };

  malformed = what: fail "${what}; write one such as '>=33', '^2', '~1.4' or '>=1, <3'";

  # An error that suggests those of `spellings` that are valid requirements.
  offer =
    spellings: what:
    let
      good = filter (spelling: alternativesOf spelling ? value) spellings;
    in
    if good == [ ] then
      malformed what
    else
      fail "${what}; write ${concatStringsSep " or " (map (good: "'${good}'") good)}";

  # The alternatives of a requirement, each a list of comparators.
  alternativesOf =
    input:
    let
      comparatorsIn = part: builtins.concatMap comparatorsOf (text.splitOn "," part);
      alternatives = map comparatorsIn (filter builtins.isString (builtins.split "[|][|]" input));
      valuesOf = results: filter (value: value != null) (map (result: result.value) results);
    in
    if builtins.stringLength input > longest then
      fail "it is longer than ${toString longest} characters"
    else if match "[ -~]*" input == null then
      fail "no version has a character that is not printable ASCII"
    else
      allOf [
        (allOf (builtins.concatLists alternatives))
        (ok (map valuesOf alternatives))
      ];

  # The comparators in the text between two commas, each a result.
  comparatorsOf =
    input:
    let
      words = wordsOf input;
      word = elemAt words;
      isRange = length words == 3 && word 1 == "-" && match "[0-9].*" (word 0) != null;
      # An operator may be apart from its version: `>= 1`.
      signs = text.characters "^~<>=!";
      apart = map (sign: "${sign} ") signs;
      joined = builtins.replaceStrings apart signs (concatStringsSep " " words);
    in
    if words == [ ] then
      [ (malformed "a version is missing") ]
    else if isRange then
      [ (offer [ ">=${word 0}, <=${word 2}" ] "a range has no hyphen") ]
    else
      map parseComparator (text.splitOn " " joined);

  wordsOf = input: filter (word: word != "") (text.splitOn " " input);

  # A comparator { operator, numbers, stability, isLong }; null for a lone wildcard.
  parseComparator =
    input:
    let
      found = match "([<>=!~^]*)(([^-]*)(-(.*))?)" input;
      operator = elemAt found 0;
      version = elemAt found 1;
      suffix = elemAt found 3;
      prerelease = versions.parsePrerelease (elemAt found 4);

      parts = text.splitOn "." (elemAt found 2);
      digits = filter (part: match "[0-9]+" part != null) parts;
      wildcards = filter (part: match "[*xX]" part != null) parts;
      count = length digits;
      tooLarge = filter (part: numbers.parse part == null) digits;
      zeros = builtins.genList (_: "0") (3 - count);
      write = parts: operator + concatStringsSep "." parts;

      noVersion = malformed "${text.quoted version} is no version";
      comparator = {
        operator = if operator == "" then "=" else operator;
        numbers = map numbers.parse digits;
        stability = if suffix == null then versions.release else prerelease;
        isLong = versions.isLong (head digits);
      };
    in
    if version == "" then
      malformed "a version is missing after '${operator}'"
    else if text.hasPrefix "v" version then
      offer [ (operator + text.dropPrefix "v" version) ] "a version has no 'v' here"
    else if operator != "" && !operators ? ${operator} then
      offer (map (other: other + version) meant.${operator} or [ ]) "'${operator}' is no operator"
    else if digits ++ wildcards != parts then
      noVersion
    else if length parts > 3 then
      offer [ (write (take 3 parts)) ] "a requirement has at most 3 numbers"
    else if tooLarge != [ ] then
      malformed "'${head tooLarge}' is too large"
    else if suffix != null && prerelease == null then
      malformed "${text.quoted suffix} is no prerelease, and a variant has an argument of its own"
    else if wildcards != [ ] && (suffix != null || operator != "" && count == 0) then
      noVersion
    else if suffix != null && count < 3 then
      offer [ (write (digits ++ zeros) + suffix) ] "a prerelease goes with 3 numbers"
    else if wildcards == [ ] && operator == "" then
      offer [ "^${input}" "=${input}" ] "a version has no operator"
    else
      ok (if count == 0 then null else comparator);

  # Whether a version, with `missing` in place of absent numbers, satisfies all
  # comparators. A prerelease satisfies them only if one of them names a prerelease of
  # the same numbers.
  holds =
    comparators: version: missing:
    let
      whole = version // {
        numbers = take 3 (version.numbers ++ builtins.genList (_: missing) 2);
      };
      satisfies = comparator: operators.${comparator.operator} (compare comparator whole);
      names = comparator: comparator.stability != versions.release && comparator.numbers == whole.numbers;
    in
    builtins.all satisfies comparators
    && (version.stability == versions.release || builtins.any names comparators);

  # Whether a version satisfies all comparators. A version of one or two numbers
  # stands for every version that begins with them: all of these must satisfy the
  # comparators. A number that may be a commit or a date satisfies only a requirement
  # that names such a number.
  matches =
    version: comparators:
    (!version.mayBeCommitOrDate || builtins.any (comparator: comparator.isLong) comparators)
    && holds comparators version numbers.zero
    && (version.stability != versions.release || holds comparators version numbers.largest);
in
{
  # Whether `input` can only be meant as a requirement: no tag has such characters,
  # or it ends in a wildcard such as `34.x`.
  isRequirement =
    input:
    # Most tags have none of these.
    text.contains "[~<>=*,|!^ xX]" input
    && (
      text.contains "[~<>=*,|!^]" input
      || length (wordsOf input) > 1
      || (
        builtins.any (text.contains "^[0-9]") (wordsOf input)
        && builtins.any (part: part == "x" || part == "X") (builtins.tail (text.splitOn "." input))
      )
    );

  # The requirement: its text, and whether a version satisfies it.
  parse =
    input:
    let
      alternatives = alternativesOf input;
    in
    if alternatives ? error then
      fail "invalid version requirement ${text.quoted input}: ${alternatives.error}"
    else
      ok {
        text = input;
        matches = version: builtins.any (matches version) alternatives.value;
      };
}
