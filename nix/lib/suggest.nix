# Suggestions for an unknown image or tag: the nearest by edit distance. The rules
# are those of src/lookup/suggest.rs.
let
  text = import ./text.nix;
  inherit (import ./list.nix) last min take;
  inherit (builtins) elemAt genList stringLength;

  mostNames = 3;
  shortestName = 2;
  shortestBeginning = 4;
  # More than any name has characters.
  far = 1000;

  # How many characters of `a` have to change to get `b`.
  levenshtein =
    a: b:
    let
      as = text.characters a;
      bs = text.characters b;
      # The distance of the first `i` characters of `a` to the first `j` of `b`.
      at = i: j: elemAt (elemAt distances i) j;
      distances = genList (i: genList (distance i) (builtins.length bs + 1)) (builtins.length as + 1);
      distance =
        i: j:
        if i == 0 || j == 0 then
          i + j
        else if elemAt as (i - 1) == elemAt bs (j - 1) then
          at (i - 1) (j - 1)
        else
          1 + min (at (i - 1) (j - 1)) (min (at (i - 1) j) (at i (j - 1)));
    in
    at (builtins.length as) (builtins.length bs);

  # The edit distance from `typed` to `name`; `far` where more than a third of the
  # characters have to change.
  distance =
    typed: name:
    let
      most = stringLength typed / 3;
      difference = stringLength typed - stringLength name;
      found = levenshtein typed name;
    in
    if difference > most || -difference > most || found > most then far else found;

  # The distance from `typed` to a part of a name. A part that only begins with
  # `typed` is further away than any typing error.
  distanceOfPart =
    typed: part:
    let
      count = stringLength typed;
      isBeginning = count >= shortestBeginning && text.hasPrefix typed part;
    in
    if count < shortestName then
      far
    else
      min (distance typed part) (if isBeginning then count / 3 + 1 else far);

  # `items` as { item, distance }, the nearest first. Equally near items keep their
  # order.
  nearest =
    distanceTo: items:
    builtins.sort (a: b: a.distance < b.distance) (
      map (item: {
        inherit item;
        distance = distanceTo item;
      }) items
    );
  takeItems = most: found: map (found: found.item) (take most found);

  # The repository of an image in parts, and the letters and digits of a name.
  partsOf = image: builtins.tail (text.splitOn "/" image);
  key = name: builtins.concatStringsSep "" (text.splitOn "/._-" name);
  keyOf = image: builtins.concatStringsSep "" (map key (partsOf image));
in
{
  # The images of the sorted list `tracked` that are named most like `image`.
  images =
    image: tracked:
    let
      called = key (last (partsOf image));
      distanceTo =
        other:
        builtins.foldl' min (distance (keyOf image) (keyOf other)) (
          map (part: distanceOfPart called (key part)) (partsOf other)
        );
      isNear = found: found.distance < far;
    in
    takeItems mostNames (builtins.filter isNear (nearest distanceTo tracked));

  # The `most` tags among `pinned` that are written most like `tag`.
  tags =
    most: tag: pinned:
    takeItems most (nearest (distance tag) pinned);
}
