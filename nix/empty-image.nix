# An empty image whose digests are computed during evaluation, so that a test can
# pin it before it is built. Images with different labels have different digests.
{ os, arch }:
label:
let
  digest = text: "sha256:${builtins.hashString "sha256" text}";
  size = builtins.stringLength;

  # An empty tar archive: 1024 bytes of zero.
  layerDigest = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";

  config = builtins.toJSON {
    architecture = arch;
    inherit os;
    config.Labels.label = label;
    rootfs = {
      type = "layers";
      diff_ids = [ layerDigest ];
    };
  };
  manifest = builtins.toJSON {
    schemaVersion = 2;
    mediaType = "application/vnd.oci.image.manifest.v1+json";
    config = {
      mediaType = "application/vnd.oci.image.config.v1+json";
      digest = digest config;
      size = size config;
    };
    layers = [
      {
        mediaType = "application/vnd.oci.image.layer.v1.tar";
        digest = layerDigest;
        size = 1024;
      }
    ];
  };
  index = indexOf {
    mediaType = "application/vnd.oci.image.manifest.v1+json";
    digest = digest manifest;
    size = size manifest;
    platform = {
      architecture = arch;
      inherit os;
    };
  };
  indexOf =
    descriptor:
    builtins.toJSON {
      schemaVersion = 2;
      mediaType = "application/vnd.oci.image.index.v1+json";
      manifests = [ descriptor ];
    };
  blob = text: {
    inherit text;
    digest = digest text;
  };
in
{
  inherit layerDigest;
  blobs = map blob [
    config
    manifest
    index
  ];
  manifestDigest = digest manifest;
  indexDigest = digest index;

  # The index.json of an OCI image layout, which refers to the index of the image.
  layoutIndex = indexOf {
    mediaType = "application/vnd.oci.image.index.v1+json";
    digest = digest index;
    size = size index;
  };
}
