# Version requirements in semver's words, read and said as Rust's semver does:
# `>=33`, `^2`, `~1.4`, `>=1, <3`.
let
  text = import ./text.nix;
  numbers = import ./number.nix;
  versions = import ./version.nix;
  inherit (import ./result.nix)
    andThen
    fail
    ok
    orElse
    ;
  inherit (builtins)
    all
    any
    elem
    elemAt
    filter
    foldl'
    head
    length
    match
    stringLength
    substring
    tail
    ;

  # Longest requirement, in bytes.
  longest = 255;
  mostComparators = 32;

  wildcards = [
    "*"
    "x"
    "X"
  ];
  startsWithWildcard = input: elem (substring 0 1 input) wildcards;
  rest = substring 1 (-1);
  trimStart = input: head (match " *(.*)" input);

  major = "major version number";
  minor = "minor version number";
  patch = "patch version number";
  prerelease = "pre-release identifier";
  build = "build metadata";

  # The number that `input` starts with.
  numeric =
    place: input:
    let
      digits = head (match "([0-9]*).*" input);
      number = numbers.parse digits;
    in
    if digits == "" && input == "" then
      fail "unexpected end of input while parsing ${place}"
    else if digits == "" then
      fail "unexpected character ${text.quotedCharacter input} while parsing ${place}"
    else if text.hasPrefix "0" digits && digits != "0" then
      fail "invalid leading zero in ${place}"
    else if number == null then
      fail "value of ${place} exceeds u64::MAX"
    else
      ok {
        inherit number;
        rest = text.dropPrefix digits input;
      };

  # What stands behind a dot: a number or a wildcard; null without a dot.
  part =
    place: input:
    let
      inner = text.dropPrefix "." input;
    in
    if !text.hasPrefix "." input then
      ok {
        number = null;
        isWildcard = false;
        rest = input;
      }
    else if startsWithWildcard inner then
      ok {
        number = null;
        isWildcard = true;
        rest = rest inner;
      }
    else
      andThen (numeric place inner) (found: ok (found // { isWildcard = false; }));

  # The identifiers behind the character `mark`, null where there are none.
  identifiers =
    place: mark: input:
    let
      inner = text.dropPrefix mark input;
      found = head (match "([0-9A-Za-z.-]*).*" inner);
      hasLeadingZero = segment: place == prerelease && match "0[0-9]+" segment != null;
      bad = filter (segment: segment == "" || hasLeadingZero segment) (text.splitOn "." found);
    in
    if !text.hasPrefix mark input then
      ok {
        text = null;
        rest = input;
      }
    else if bad == [ ] then
      ok {
        text = found;
        rest = text.dropPrefix found inner;
      }
    else if head bad == "" then
      fail "empty identifier segment in ${place}"
    else
      fail "invalid leading zero in ${place}";

  none =
    input:
    ok {
      text = null;
      rest = input;
    };

  # The operator that `input` starts with, and what follows; null for a number.
  operatorOf =
    input:
    let
      found = match "(>=|<=|>|<|=|~|\\^)(.*)" input;
    in
    if found == null then
      {
        operator = null;
        rest = input;
      }
    else
      {
        operator = elemAt found 0;
        rest = elemAt found 1;
      };

  comparator =
    input:
    let
      start = operatorOf input;
    in
    andThen (numeric major (trimStart start.rest)) (
      first:
      andThen (part minor first.rest) (
        second:
        let
          hasThird = text.hasPrefix "." second.rest;
          isMisplaced = hasThird && second.isWildcard && !startsWithWildcard (rest second.rest);
        in
        if isMisplaced then
          fail "unexpected character after wildcard in version req"
        else
          andThen (part patch second.rest) (
            third:
            let
              isWhole = third.number != null;
              isWildcard = second.isWildcard || third.isWildcard;
            in
            andThen ((if isWhole then identifiers prerelease "-" else none) third.rest) (
              pre:
              andThen ((if isWhole then identifiers build "+" else none) pre.rest) (
                built:
                ok {
                  operator =
                    if start.operator != null then
                      start.operator
                    else if isWildcard then
                      "="
                    else
                      "^";
                  major = first.number;
                  minor = second.number;
                  patch = third.number;
                  pre = pre.text;
                  rest = trimStart built.rest;
                  place =
                    if built.text != null then
                      build
                    else if pre.text != null then
                      prerelease
                    else if hasThird then
                      patch
                    else if text.hasPrefix "." first.rest then
                      minor
                    else
                      major;
                }
              )
            )
          )
      )
    );

  # `input` as comparators joined by commas, of which `found` stand before it.
  comparators =
    found: input:
    let
      isLone =
        startsWithWildcard input
        && elem (substring 0 1 (trimStart (rest input))) [
          ""
          ","
        ];
      next = orElse (comparator input) (reason: if isLone then wildcardAmongOthers input else reason);
    in
    andThen next (
      last:
      if last.rest == "" then
        ok (found ++ [ last ])
      else if !text.hasPrefix "," last.rest then
        fail "expected comma after ${last.place}, found ${text.quotedCharacter last.rest}"
      else if length found + 1 == mostComparators then
        fail "excessive number of version comparators"
      else
        comparators (found ++ [ last ]) (trimStart (rest last.rest))
    );

  wildcardAmongOthers =
    input: "wildcard req (${substring 0 1 input}) must be the only comparator in the version req";

  parseSemver =
    input:
    let
      trimmed = trimStart input;
      behind = trimStart (rest trimmed);
    in
    if !startsWithWildcard trimmed then
      comparators [ ] trimmed
    else if behind == "" then
      ok [ ]
    else if text.hasPrefix "," behind then
      fail (wildcardAmongOthers trimmed)
    else
      fail "unexpected character after wildcard in version req";

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
          parseSemver input;
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
