# Derivations of an image: each manifest and blob by its digest, and what is made of
# them. `pkgs` provides a shell and a few tools.
{
  pkgs,
  # The command nix-oci-hashes.
  fetcher,
  # The certificates of a registry's TLS, as a file.
  certificates,
  # Mirrors to try first, as `--mirror` takes them.
  mirrors,
  # Registries without TLS.
  insecureRegistries,
}:
let
  inherit (builtins) concatMap concatStringsSep toJSON;
  inherit (pkgs.stdenv.buildPlatform) system;
  buildPkgs = pkgs.buildPackages or pkgs;

  flags =
    flag: values:
    concatMap (value: [
      flag
      value
    ]) values;

  # A derivation of a shell script, whose environment is `attributes`.
  script =
    name: attributes: text:
    derivation (
      {
        inherit name system;
        builder = buildPkgs.runtimeShell;
        args = [
          "-euc"
          # Nix kills a builder that has closed its output. The shell would execute a last
          # command in its own place, and that may close its output before it ends.
          "${text}\n:"
        ];
        PATH = "${buildPkgs.coreutils}/bin";
        # Links and copies: not worth a request to another machine.
        preferLocalBuild = true;
        allowSubstitutes = false;
      }
      // attributes
    );

  # The command that writes the files of `layout` as an archive to standard output, with
  # the tools of `packages`.
  archiving =
    packages: layout:
    "${packages.gnutar}/bin/tar --create --directory=${layout} --dereference --hard-dereference "
    + "--sort=name --format=gnu --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=0755 "
    + "blobs index.json manifest.json oci-layout";
in
rec {
  # The name of the store path of a digest.
  nameOf = digest: builtins.replaceStrings [ ":" ] [ "-" ] digest;

  # The content of `digest` in the repository `name`, as a fixed-output derivation. Its
  # path depends on the digest alone.
  fetch =
    name: digest: arguments:
    let
      parts = builtins.match "(.*):(.*)" digest;
    in
    derivation {
      name = nameOf digest;
      inherit system;
      builder = "${fetcher}/bin/nix-oci-hashes";
      args = [
        "fetch"
        "${name}@${digest}"
        "--output"
        (placeholder "out")
        "--quiet"
      ]
      ++ arguments
      ++ flags "--mirror" mirrors
      ++ flags "--insecure-registry" insecureRegistries;
      outputHashMode = "flat";
      outputHashAlgo = builtins.elemAt parts 0;
      outputHash = builtins.elemAt parts 1;
      SSL_CERT_FILE = certificates;
      # Of the environment of the Nix daemon.
      impureEnvVars = [
        "http_proxy"
        "https_proxy"
        "all_proxy"
        "no_proxy"
        "HTTP_PROXY"
        "HTTPS_PROXY"
        "ALL_PROXY"
        "NO_PROXY"
        "REGISTRY_AUTH_FILE"
        "DOCKER_CONFIG"
      ];
      preferLocalBuild = true;
    };

  # The blob { digest, size } of the repository `name`.
  fetchBlob =
    name: blob:
    fetch name blob.digest [
      "--blob"
      "--size"
      (toString blob.size)
    ];

  # An OCI image layout of symbolic links (OCI image spec, "Image Layout"), with the
  # `manifest.json` of a Docker archive, in which the image is called `loadedName`.
  layout =
    {
      loadedName,
      mediaType,
      size,
      manifest,
      config,
      layers,
    }:
    let
      pathOf = digest: "blobs/${builtins.replaceStrings [ ":" ] [ "/" ] digest}";
    in
    script "oci-layout"
      {
        index = toJSON {
          schemaVersion = 2;
          mediaType = "application/vnd.oci.image.index.v1+json";
          manifests = [
            {
              inherit mediaType size;
              inherit (manifest) digest;
              # The name that containerd imports it by. By an OCI reference name, skopeo would not
              # find a manifest of Docker's.
              annotations."io.containerd.image.name" = loadedName;
            }
          ];
        };
        docker = toJSON [
          {
            Config = pathOf config.digest;
            RepoTags = [ loadedName ];
            Layers = map (layer: pathOf layer.digest) layers;
          }
        ];
        # The target of each link, and its place in the layout.
        links = concatStringsSep "\n" (
          map (blob: "${blob.path} ${pathOf blob.digest}") (
            [
              manifest
              config
            ]
            ++ layers
          )
        );
      }
      ''
        mkdir "$out"
        printf '{"imageLayoutVersion":"1.0.0"}' >"$out/oci-layout"
        printf %s "$index" >"$out/index.json"
        printf %s "$docker" >"$out/manifest.json"
        while read -r target place; do
          mkdir -p "$out/''${place%/*}"
          ln -sf "$target" "$out/$place"
        done <<<"$links"
      '';

  # A program that writes the layout as an archive to standard output.
  stream =
    layout:
    script "stream-oci-archive"
      {
        program = ''
          #!${pkgs.runtimeShell}
          exec ${archiving pkgs layout}
        '';
      }
      ''
        printf %s "$program" >"$out"
        chmod +x "$out"
      '';

  # The archive as a file, which is a second copy of the layers in the store. k3s links
  # each archive by its name, so `name` has to be the image's own.
  archive = name: layout: script "${name}.tar" { } ''${archiving buildPkgs layout} >"$out"'';
}
