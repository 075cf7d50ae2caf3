# The type of a value, as Nix itself says it in errors.
let
  names = {
    bool = "a Boolean";
    float = "a float";
    int = "an integer";
    lambda = "a function";
    list = "a list";
    null = "null";
    path = "a path";
    set = "a set";
    string = "a string";
  };
in
value: names.${builtins.typeOf value}
