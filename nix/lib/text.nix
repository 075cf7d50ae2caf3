# Helpers for text of any length. Nix's regular expressions use stack for every
# repetition that they match, so the expressions here have none.
let
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

  lower = replaceStrings upperCase lowerCase;

  # Whether a regular expression, which must not repeat anything, matches in `text`.
  contains = pattern: text: builtins.length (builtins.split pattern text) > 1;

  # The parts of `text` between the characters `separator`.
  splitOn = separator: text: builtins.filter builtins.isString (builtins.split "[${separator}]" text);

  # What is before and after the first `separator`; `after` is null without one.
  splitOnce =
    separator: text:
    let
      before = builtins.head (splitOn separator text);
    in
    {
      inherit before;
      after = if before == text then null else dropPrefix (before + separator) text;
    };

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
