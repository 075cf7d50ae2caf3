# Helpers for text of any length. Nix's regular expressions use stack for every
# repetition that they match, so the expressions here have none.
let
  inherit (import ./list.nix) last;
  inherit (builtins) replaceStrings stringLength substring;

  # Longest piece of input that an error shows, in bytes.
  longestQuote = 100;

  upperCase = characters "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
  lowerCase = characters "abcdefghijklmnopqrstuvwxyz";
  characters = text: builtins.genList (i: substring i 1 text) (stringLength text);
in
rec {
  inherit characters;

  hasPrefix = prefix: text: substring 0 (stringLength prefix) text == prefix;

  # `text` without `prefix`, which it must start with.
  dropPrefix = prefix: text: substring (stringLength prefix) (-1) text;

  lower = text: if contains "[A-Z]" text then replaceStrings upperCase lowerCase text else text;

  # Whether a regular expression, which must not repeat anything, matches in `text`.
  contains = pattern: text: builtins.length (builtins.split pattern text) > 1;

  # Whether `text` has this character.
  has = character: text: replaceStrings [ character ] [ "" ] text != text;

  # The parts of `text` between the characters `separator`.
  splitOn = separator: text: builtins.filter builtins.isString (builtins.split "[${separator}]" text);

  # What is before and after the first `separator`; `after` is null without one.
  splitOnce =
    separator: text:
    let
      parts = builtins.split "[${separator}]" text;
      before = builtins.head parts;
    in
    {
      inherit before;
      after = if builtins.length parts == 1 then null else dropPrefix (before + separator) text;
    };

  # What is after the last `separator`; null without one.
  afterLast =
    separator: text:
    let
      parts = builtins.split "[${separator}]" text;
    in
    if builtins.length parts == 1 then null else last parts;

  # `text` in single quotes, for an error. It is cut, and bytes that are not
  # printable ASCII become `?`, so that no input can flood or control a terminal.
  quoted =
    text:
    let
      show = byte: if builtins.match "[ -~]" byte == null then "?" else byte;
      shown = map show (characters (substring 0 longestQuote text));
      more = stringLength text - longestQuote;
      rest = if more > 0 then "... (${toString more} more characters)" else "";
    in
    "'${builtins.concatStringsSep "" shown}${rest}'";

  # The type of a value, as errors of Nix name it.
  typeName =
    value:
    let
      type = builtins.typeOf value;
    in
    {
      bool = "a Boolean";
      int = "an integer";
      lambda = "a function";
      null = "null";
    }
    .${type} or "a ${type}";
}
