# Helpers for lists.
let
  inherit (builtins) elemAt genList length;
in
rec {
  min = a: b: if a < b then a else b;

  last = list: elemAt list (length list - 1);

  # The first `count` items, or all where there are fewer.
  take = count: list: genList (elemAt list) (min count (length list));
}
