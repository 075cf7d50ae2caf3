# Content digests, as the OCI image spec writes them (section "Digests").
let
  text = import ./text.nix;
  inherit (import ./result.nix) fail ok;
  inherit (builtins) stringLength;

  hexadecimal = text.characters "0123456789abcdef";
  lengths = {
    sha256 = 64;
    sha512 = 128;
  };
in
{
  # `algorithm:hex`, as it is.
  parse =
    input:
    let
      parts = text.splitOnce ":" input;
      algorithm = if parts == null then "" else parts.before;
      digits = toString lengths.${algorithm};
      error = reason: fail "invalid digest ${text.quoted input}: ${reason}";
    in
    if !(lengths ? ${algorithm}) then
      error "it must start with 'sha256:' or 'sha512:'"
    else if
      stringLength parts.after != lengths.${algorithm} || !text.isMadeOf hexadecimal parts.after
    then
      error "'${algorithm}:' takes ${digits} lower-case hexadecimal digits"
    else
      ok input;
}
