# Tags, as the OCI distribution spec allows them ("Pulling manifests").
let
  text = import ./text.nix;
  inherit (import ./result.nix) fail ok;
  inherit (builtins) match stringLength;
in
rec {
  isTag = input: stringLength input <= 128 && match "[A-Za-z0-9_][A-Za-z0-9_.-]*" input != null;

  parse =
    input:
    if isTag input then
      ok input
    else
      fail (
        "invalid tag ${text.quoted input}: a tag is 1 to 128 letters, digits, '_', '.' and '-', "
        + "and starts with neither '.' nor '-'"
      );
}
