# Numbers of any size as texts of one length, so that the order of the texts is
# that of the numbers: Nix has none above 2^63.
let
  text = import ./text.nix;
  inherit (builtins) head match stringLength;

  width = 20;
  zeros = "00000000000000000000";
  pad = digits: builtins.substring (stringLength digits) width zeros + digits;
  largest = "18446744073709551615";
in
rec {
  inherit largest;

  # The number that up to 200 digits write; null above 64 bits.
  number =
    digits:
    let
      significant = head (match "0*([0-9]+)" digits);
      padded = pad significant;
    in
    if stringLength significant > width || padded > largest then null else padded;

  zero = pad "0";
  ofInt = int: pad (toString int);

  # The number that is all of `digits`; null for anything else.
  parse =
    digits:
    if stringLength digits >= 1 && stringLength digits <= 200 && text.isMadeOf text.digits digits then
      number digits
    else
      null;
}
