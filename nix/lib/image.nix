# An image in the Nix store, by its pin alone: `default` and `digests` are the table of
# lookups that name none, parsed and as it was given.
default: digests:
let
  manifestFormat = import ./manifest.nix;
  names = import ./name.nix;
  tables = import ./table.nix;
  tags = import ./tag.nix;
  text = import ./text.nix;
  inherit (import ./lookup.nix) lookup;
  inherit (import ./result.nix) unwrap;
  inherit (builtins)
    attrValues
    concatMap
    elem
    elemAt
    pathExists
    ;

  # The folder of the manifests that a refresh has recorded beside a table; null for a
  # parsed set or a lone file of the store, beside which there is nothing.
  folderBeside =
    table:
    let
      path = if builtins.isAttrs table && table ? outPath then table.outPath else table;
      folder = dirOf path;
    in
    if builtins.isAttrs path || toString folder == builtins.storeDir then
      null
    else
      folder + "/manifests";
in
{
  pkgs,
  fetcher ? (pkgs.buildPackages or pkgs).callPackage ../package.nix { },
  certificates ? "${pkgs.cacert}/etc/ssl/certs/ca-bundle.crt",
  manifests ? null,
  recorded ? false,
  mirrors ? [ ],
  insecureRegistries ? [ ],
  ...
}@arguments:
let
  derivations = import ./derivations.nix {
    inherit
      certificates
      fetcher
      insecureRegistries
      mirrors
      pkgs
      ;
  };
  own = [
    "pkgs"
    "fetcher"
    "certificates"
    "manifests"
    "recorded"
    "mirrors"
    "insecureRegistries"
  ];
  query = {
    platform = pkgs.stdenv.hostPlatform.system;
  }
  // removeAttrs arguments own;
  table = if query ? digests then unwrap (tables.load query.digests) else unwrap default;
  pinned = unwrap (lookup default query);
  reference = names.toText pinned;
  parts = unwrap (names.parse reference);
  name = "${parts.registry}/${parts.repository}";
  inherit (pinned) digest;

  # The digest has to be that of an image, and not of an index.
  pins = tables.pinsOf table pinned.image;
  candidates = if pinned.tag == null then attrValues pins else [ pins.${pinned.tag} ];
  isManifest = elem digest (concatMap (pin: attrValues (pin.platforms or { })) candidates);
  checked =
    if isManifest then
      digest
    else
      throw (
        "ociHash: ${reference} has the digest of an index, and an image is built from that of a platform; "
        + "leave the digest out of the reference, or run 'nix-oci-hashes refresh', which records the platforms"
      );

  # The recorded manifest, whose bytes have to be those of the digest.
  folder = if manifests != null then manifests else folderBeside (arguments.digests or digests);
  storeName = derivations.nameOf checked;
  file = folder + "/${storeName}.json";
  isRecorded = folder != null && pathExists file;
  hash = text.splitOnce ":" checked;
  algorithm = hash.before;
  recordedFile =
    if "${algorithm}:${builtins.hashFile algorithm file}" == checked then
      file
    else
      throw "ociHash: manifests/${storeName}.json has other bytes than those of its digest; run 'nix-oci-hashes refresh'";

  manifest =
    if isRecorded then
      builtins.path (
        {
          path = recordedFile;
          name = storeName;
          recursive = false;
        }
        // (if algorithm == "sha256" then { sha256 = hash.after; } else { })
      )
    else if recorded then
      throw (
        "ociHash: no manifest is recorded for ${reference}; write \"store\": true into its entry in images.json "
        + "and run 'nix-oci-hashes refresh', or leave 'recorded' out"
      )
    else
      derivations.fetch name checked [ ];
  manifestText = builtins.readFile (if isRecorded then recordedFile else manifest);
  parsed = manifestFormat.parse reference manifestText;

  config = derivations.fetchBlob name parsed.config;
  layers = map (derivations.fetchBlob name) parsed.layers;
  layout = derivations.layout {
    inherit loadedName;
    inherit (parsed) mediaType;
    size = builtins.stringLength manifestText;
    manifest = {
      inherit digest;
      path = manifest;
    };
    config = {
      inherit (parsed.config) digest;
      path = config;
    };
    layers = builtins.genList (i: {
      inherit (elemAt parsed.layers i) digest;
      path = elemAt layers i;
    }) (builtins.length layers);
  };
  # A tag has at most 128 characters, which is less than SHA-512 needs.
  loadedName = "${name}:${builtins.substring 0 tags.longest storeName}";
in
{
  inherit
    config
    layers
    layout
    loadedName
    manifest
    reference
    ;
  archive = derivations.archive storeName layout;
  stream = derivations.stream layout;
}
