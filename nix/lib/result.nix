# What a parser answers: { value } or { error }, the reason as a text.
rec {
  ok = value: { inherit value; };
  fail = error: { inherit error; };

  # `next` of the value, or the error as it is.
  andThen = result: next: if result ? error then result else next result.value;

  # The list of what `f` answers for each of `list`, or its first error.
  collect =
    f:
    builtins.foldl' (
      found: item: andThen found (found: andThen (f item) (value: ok (found ++ [ value ])))
    ) (ok [ ]);

  # The result with another error.
  orElse = result: describe: if result ? error then fail (describe result.error) else result;

  # The value, or an error of Nix.
  unwrap = result: if result ? error then throw "ociHash: ${result.error}" else result.value;
}
