# Content digests, as the OCI image spec writes them (section "Digests").
let
  inherit (import ./text.nix) contains quoted;
  inherit (import ./result.nix) fail ok;
  inherit (builtins) stringLength substring;

  # How many hexadecimal digits follow.
  lengths = {
    "sha256:" = 64;
    "sha512:" = 128;
  };
in
{
  parse =
    input:
    let
      algorithm = substring 0 7 input;
      hex = substring 7 (-1) input;
      count = lengths.${algorithm};
      invalid = reason: fail "invalid digest ${quoted input}: ${reason}";
    in
    if !lengths ? ${algorithm} then
      invalid "it must start with 'sha256:' or 'sha512:'"
    else if stringLength hex != count || contains "[^0-9a-f]" hex then
      invalid "'${algorithm}' takes ${toString count} lower-case hexadecimal digits"
    else
      ok input;
}
