# Tags, as the OCI distribution spec allows them ("Pulling manifests").
let
  inherit (import ./text.nix) quoted;
  inherit (import ./result.nix) fail ok;
  inherit (builtins) match stringLength;
in
rec {
  longest = 128;

  # Matches a tag, and longer text.
  expression = "[A-Za-z0-9_][A-Za-z0-9_.-]*";

  isTag = input: stringLength input <= longest && match expression input != null;

  parse =
    input:
    if isTag input then
      ok input
    else
      fail "invalid tag ${quoted input}: a tag is 1 to 128 letters, digits, '_', '.' and '-', and starts with neither '.' nor '-'";
}
