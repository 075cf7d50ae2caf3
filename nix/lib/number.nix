# Unsigned numbers of 64 bits, for which integers of Nix are too small. A number is a
# text of 20 digits, so numbers compare as their texts do.
let
  inherit (builtins) head match stringLength;

  zeros = "00000000000000000000";
  pad = digits: builtins.substring (stringLength digits) (-1) zeros + digits;
in
rec {
  zero = pad "0";
  largest = "18446744073709551615";
  largestPort = pad "65535";

  # Parses `digits`, with or without leading zeros. Null for other text, for a number
  # above 64 bits, and for more than 255 digits.
  parse =
    digits:
    let
      found = if stringLength digits > 255 then null else match "0*([0-9]+)" digits;
      number = pad (head found);
    in
    if found == null || stringLength number > stringLength zeros || number > largest then
      null
    else
      number;
}
