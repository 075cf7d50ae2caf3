# What was meant by a name or a tag that is not there: the nearest by edit
# distance, by the rules of src/suggest.rs.
let
  text = import ./text.nix;
  inherit (import ./name.nix) pathOf;
  inherit (builtins)
    concatMap
    elemAt
    filter
    foldl'
    genList
    head
    length
    map
    sort
    stringLength
    ;

  mostNames = 3;
  shortestName = 2;
  shortestBeginning = 4;

  min = a: b: if a < b then a else b;
  abs = number: if number < 0 then -number else number;
  take = most: list: genList (elemAt list) (min most (length list));

  # The letters and digits of a name.
  key = text.without [
    "/"
    "."
    "_"
    "-"
  ];

  levenshtein =
    a: b:
    let
      as = text.characters a;
      bs = text.characters b;
      at = i: j: elemAt (elemAt distances i) j;
      distances = genList (i: genList (distance i) (length bs + 1)) (length as + 1);
      distance =
        i: j:
        if i == 0 || j == 0 then
          i + j
        else if elemAt as (i - 1) == elemAt bs (j - 1) then
          at (i - 1) (j - 1)
        else
          1 + min (at (i - 1) (j - 1)) (min (at (i - 1) j) (at i (j - 1)));
    in
    at (length as) (length bs);

  # How many characters have to change to make `typed` `name`, where these are
  # few enough for a slip; else null.
  distance =
    typed: name:
    let
      most = stringLength typed / 3;
      found = levenshtein typed name;
    in
    if abs (stringLength typed - stringLength name) > most || found > most then null else found;

  # How far a part of a name is from what was typed; one that goes on after that
  # is further than any slip.
  distanceOfPart =
    typed: part:
    let
      slip = distance typed part;
      begins = stringLength typed >= shortestBeginning && text.hasPrefix typed part;
    in
    if stringLength typed < shortestName then
      null
    else if slip != null then
      slip
    else if begins then
      stringLength typed / 3 + 1
    else
      null;
in
{
  # The images of the sorted list `tracked` that are named most like `image`.
  images =
    image: tracked:
    let
      path = pathOf image;
      whole = key path;
      components = text.splitOn "/" path;
      called = key (elemAt components (length components - 1));
      near = concatMap (
        candidate:
        let
          candidatePath = pathOf candidate;
          found = filter (distance: distance != null) (
            map (part: distanceOfPart called (key part)) (text.splitOn "/" candidatePath)
            ++ [ (distance whole (key candidatePath)) ]
          );
        in
        if found == [ ] then
          [ ]
        else
          [
            {
              image = candidate;
              distance = foldl' min (head found) found;
            }
          ]
      ) tracked;
    in
    map (found: found.image) (take mostNames (sort (a: b: a.distance < b.distance) near));

  # The `most` tags among `pinned` that are written most like `tag`; of those
  # that are as near, or not near at all, what `pinned` has first.
  tags =
    most: tag: pinned:
    let
      measured = map (candidate: {
        tag = candidate;
        distance = distance tag candidate;
      }) pinned;
      isNearer = a: b: a.distance != null && (b.distance == null || a.distance < b.distance);
    in
    map (found: found.tag) (take most (sort isNearer measured));
}
