# What a parser returns: { value }, or { error } with the reason as text.
rec {
  ok = value: { inherit value; };
  fail = error: { inherit error; };

  # `next` of the value, or the error as it is.
  andThen = result: next: if result ? error then result else next result.value;

  # The first error among `results`, or else the last result. What follows an
  # error is not evaluated.
  allOf = builtins.foldl' (result: next: if result ? error then result else next) (ok null);

  # The value, or an error of Nix.
  unwrap = result: if result ? error then throw "ociHash: ${result.error}" else result.value;
}
