# Text, without regular expressions on input of any length: those of Nix take
# stack for every character.
let
  inherit (builtins)
    concatStringsSep
    elem
    elemAt
    filter
    fromJSON
    genList
    head
    isString
    length
    map
    replaceStrings
    split
    stringLength
    substring
    tail
    ;

  # Longest piece of input that an error repeats, in characters.
  longestQuote = 100;

  characters = text: genList (i: substring i 1 text) (stringLength text);

  digits = characters "0123456789";
  lowerCase = characters "abcdefghijklmnopqrstuvwxyz";
  upperCase = characters "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

  # `text` without `parts`.
  without = parts: text: replaceStrings parts (map (_: "") parts) text;

  hexadecimal = number: hexadecimalOf number "";
  hexadecimalOf =
    number: end:
    let
      rest = number / 16;
      text = substring (number - rest * 16) 1 "0123456789abcdef" + end;
    in
    if rest == 0 then text else hexadecimalOf rest text;

  # The character of a code point between 1 and 0xffff.
  character =
    number:
    let
      hex = hexadecimal number;
    in
    fromJSON "\"\\u${substring (stringLength hex) 4 "0000"}${hex}\"";

  range = first: last: genList (i: first + i) (last - first + 1);

  # Control characters, and those without a look of their own.
  escaped =
    map
      (number: {
        character = character number;
        escape =
          {
            "9" = "\\t";
            "10" = "\\n";
            "13" = "\\r";
          }
          .${toString number} or "\\u{${hexadecimal number}}";
      })
      (
        range 1 31
        ++ range 127 159
        # U+200B to U+200F, U+2028 to U+202E, U+2060 to U+2069, U+FEFF
        ++ range 8203 8207
        ++ range 8232 8238
        ++ range 8288 8297
        ++ [ 65279 ]
      );
  escape = replaceStrings (map (e: e.character) escaped) (map (e: e.escape) escaped);

  # The bytes that only continue a character in UTF-8.
  continuation = map (number: substring 1 1 (character number)) (range 128 191);

  # How many characters stand in `text`, of which substring sees the bytes.
  count = text: stringLength (without continuation text);

  # The first `most` characters of `text`, which has more.
  cut =
    most: text:
    let
      # Four bytes at most for each, and the start of the next.
      starts = filter (i: !elem (substring i 1 text) continuation) (genList (i: i) (4 * most + 1));
    in
    substring 0 (elemAt starts most) text;
in
rec {
  inherit
    characters
    digits
    lowerCase
    without
    ;

  # Whether `text` has no characters but those of the list `alphabet`.
  isMadeOf = alphabet: text: without alphabet text == "";

  # Whether one of `parts` stands in `text`.
  contains = parts: text: without parts text != text;

  hasPrefix = prefix: text: substring 0 (stringLength prefix) text == prefix;

  # `text` without a prefix that it has.
  dropPrefix = prefix: text: substring (stringLength prefix) (-1) text;

  hasSuffix =
    suffix: text:
    let
      start = stringLength text - stringLength suffix;
    in
    start >= 0 && substring start (-1) text == suffix;

  lower = replaceStrings upperCase lowerCase;
  isLower = text: !contains upperCase text;

  # The parts of `text` between the characters `separator`.
  splitOn = separator: text: filter isString (split "[${separator}]" text);

  # What stands before and after the first `separator`; null without one.
  splitOnce =
    separator: text:
    let
      parts = splitOn separator text;
    in
    if length parts == 1 then
      null
    else
      {
        before = head parts;
        after = concatStringsSep separator (tail parts);
      };

  # The characters of ASCII that are seen, and the space.
  printable = map character (range 32 126);

  # The first character of `text`, of however many bytes, whose first byte is not
  # in `alphabet`.
  firstOther =
    alphabet: text:
    let
      others = filter (i: !elem (substring i 1 text) alphabet) (genList (i: i) (stringLength text));
      rest = substring (head others) (-1) text;
      isEnd = size: !elem (substring size 1 rest) continuation;
    in
    substring 0 (head (filter isEnd (range 1 4) ++ [ 4 ])) rest;

  # `text` in single quotes, escaped and cut, so that none can flood or steer a
  # terminal.
  quoted =
    text:
    let
      more = if stringLength text > longestQuote then count text - longestQuote else 0;
    in
    if more > 0 then
      "'${escape (cut longestQuote text)}... (${toString more} more characters)'"
    else
      "'${escape text}'";

  # The first character of printable text in single quotes, as Rust prints it.
  quotedCharacter = text: "'${replaceStrings [ "\\" "'" ] [ "\\\\" "\\'" ] (substring 0 1 text)}'";
}
