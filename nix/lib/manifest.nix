# The blobs that an image manifest names (OCI image spec, "Image Manifest"; Docker's
# schema 2 has the same shape).
let
  digests = import ./digest.nix;
  inherit (import ./text.nix) quoted;
  inherit (import ./result.nix) unwrap;
  inherit (builtins)
    elem
    isAttrs
    isInt
    isList
    isString
    ;

  ociType = "application/vnd.oci.image.manifest.v1+json";
  types = [
    ociType
    "application/vnd.docker.distribution.manifest.v2+json"
  ];

  # Layers that registries do not have to serve, in their deprecated types.
  isForeignType = type: builtins.match ".*(nondistributable|rootfs[.]foreign).*" type != null;

  isDescriptor =
    value:
    isAttrs value
    && isString (value.digest or null)
    && isInt (value.size or null)
    && isString (value.mediaType or "");
in
{
  # { mediaType, config, layers } of the text of a manifest, where each blob is
  # { digest, size }. An error names `reference`.
  parse =
    reference: text:
    let
      json = builtins.fromJSON text;
      invalid = reason: throw "ociHash: the manifest of ${reference} ${reason}";
      mediaType = json.mediaType or ociType;
      blob = descriptor: {
        inherit (descriptor) size;
        digest = unwrap (digests.parse descriptor.digest);
      };
      layer =
        descriptor:
        let
          type = descriptor.mediaType or "";
        in
        if isForeignType type || (descriptor.urls or [ ]) != [ ] then
          invalid "has the foreign layer ${descriptor.digest} (${type}), which is not in the registry; its image cannot be built"
        else
          blob descriptor;
    in
    if !isAttrs json || !isDescriptor (json.config or null) || !isList (json.layers or null) then
      invalid "names no configuration and layers; it may be that of an index: run 'nix-oci-hashes refresh'"
    else if !elem mediaType types then
      invalid "has the type ${quoted mediaType}; the image of an OCI or Docker manifest can be built"
    else if !builtins.all isDescriptor json.layers then
      invalid "has a layer without digest or size"
    else
      {
        inherit mediaType;
        config = blob json.config;
        layers = map layer json.layers;
      };
}
