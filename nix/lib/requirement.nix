# Version requirements in semver's words: `>=33`, `^2`, `~1.4`, `>=1, <3`.
let
  text = import ./text.nix;
  numbers = import ./number.nix;
  versions = import ./version.nix;
  comparators = import ./comparators.nix;
  inherit (import ./result.nix)
    andThen
    fail
    ok
    orElse
    ;
  inherit (builtins)
    all
    any
    elemAt
    foldl'
    length
    stringLength
    tail
    ;

  # Longest requirement, in bytes.
  longest = 255;

  # The comparator with its prerelease as the key that versions have.
  withKey =
    comparator:
    let
      found = versions.parsePrerelease comparator.pre;
    in
    if comparator.pre == null then
      ok (comparator // { key = versions.release; })
    else if found == null || found.rest != "" then
      fail "'-${comparator.pre}' is no prerelease"
    else
      ok (comparator // { inherit (found) key; });

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
in
{
  # Whether `input` can only be a requirement: no tag has such characters, or it
  # ends in a wildcard such as `34.x`.
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
    ] input
    || any (part: part == "x" || part == "X") (tail (text.splitOn "." input));

  # The requirement: its text, and whether a version satisfies it. A prerelease
  # satisfies only one that names one of the same three numbers; a commit or a
  # date only one that names such a number.
  parse =
    input:
    let
      checked =
        if stringLength input > longest then
          fail "it is longer than ${toString longest} characters"
        else if !text.isMadeOf text.printable input then
          fail "no version has the character ${text.quoted (text.firstOther text.printable input)}"
        else
          comparators.parse input;
      keyed = andThen checked (
        foldl' (
          found: comparator:
          andThen found (found: andThen (withKey comparator) (comparator: ok (found ++ [ comparator ])))
        ) (ok [ ])
      );
    in
    andThen
      (orElse keyed (
        reason:
        "invalid version requirement ${text.quoted input}: ${reason}; "
        + "write one such as '>=33', '^2', '~1.4' or '>=1, <3'"
      ))
      (
        comparators:
        let
          namesCommitOrDate = any (comparator: comparator.major >= numbers.ofInt 1000000) comparators;
        in
        ok {
          text = input;
          matches =
            version:
            let
              number = i: if length version.numbers > i then elemAt version.numbers i else numbers.zero;
              triple = {
                major = number 0;
                minor = number 1;
                patch = number 2;
                inherit (version) stability;
              };
              namesPrerelease =
                comparator:
                comparator.pre != null
                && comparator.major == triple.major
                && comparator.minor == triple.minor
                && comparator.patch == triple.patch;
            in
            (namesCommitOrDate || !versions.mayBeCommitOrDate version)
            && all (comparator: satisfies comparator triple) comparators
            && (version.stability == versions.release || any namesPrerelease comparators);
        }
      );
}
