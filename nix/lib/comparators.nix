# The comparators of a version requirement, read and refused as Rust's semver does.
let
  text = import ./text.nix;
  numbers = import ./number.nix;
  inherit (import ./result.nix)
    andThen
    fail
    ok
    orElse
    ;
  inherit (builtins)
    elem
    elemAt
    filter
    head
    length
    match
    substring
    ;

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
in
{
  # A requirement as the list of its comparators: { operator, major, minor, patch,
  # pre }, with null for what is left out.
  parse = parseSemver;
}
