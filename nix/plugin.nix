# The plugin for one Nix, of any flavour, behind the loader:
#
#   plugin.override { nix = pkgs.nixVersions.latest; }
#   plugin.override { nix = pkgs.lixPackageSets.latest.lix; }
#
# `plugin-files` names lib/nix/plugins/libnix_oci_hashes.so in it.
{
  lib,
  stdenv,
  rustPlatform,
  pkg-config,
  boost,
  capnproto,
  nix,
  # Whether to build for Nix's C API, which serves releases without a build of their own.
  isForCApi ? false,
}:
let
  cargo = builtins.fromTOML (builtins.readFile ../Cargo.toml);
  support = import ./support.nix { inherit lib; };
  build =
    if isForCApi then
      support.cApi
    else
      lib.defaultTo {
        flavour = "nix";
        name = "nix-${nix.version}";
      } (support.buildOf nix);
  feature = if build.flavour == "c-api" then "c-api" else "plugin";
  inherit (stdenv.hostPlatform) extensions;
  target = stdenv.hostPlatform.rust.rustcTarget;
  # The loader has this file name on every system, macOS included.
  loader = "libnix_oci_hashes.so";
in
rustPlatform.buildRustPackage {
  pname = "nix-oci-hashes-plugin";
  version = "${cargo.package.version}-${build.name}";

  src = import ./source.nix { inherit lib; };
  cargoLock.lockFile = ../Cargo.lock;

  nativeBuildInputs = [ pkg-config ];
  # Only for their headers: the process that loads the plugin contains the libraries.
  buildInputs = [
    boost
    nix
  ]
  ++ lib.optional (build.flavour == "lix") capnproto;

  env = lib.optionalAttrs (build.flavour == "determinate") {
    NIX_OCI_HASHES_DETERMINATE = nix.version;
  };

  # `cargo build` has no flag to build the library as a cdylib.
  buildPhase = ''
    runHook preBuild
    cargo rustc --profile plugin --frozen --target ${target} -j "$NIX_BUILD_CORES" \
      --lib --crate-type cdylib --no-default-features --features ${feature}
    $CC -std=c11 -O2 -fPIC -shared -fvisibility=hidden -o ${loader} cpp/loader.c cpp/running_nix.c
    runHook postBuild
  '';

  installPhase = ''
    runHook preInstall
    install -Dm755 ${loader} $out/lib/nix/plugins/${loader}
    install -Dm755 target/${target}/plugin/libnix_oci_hashes${extensions.sharedLibrary} \
      $out/lib/nix-oci-hashes/${build.name}.so
    runHook postInstall
  '';

  # package.nix runs the tests. The checks of the flake test the plugin in each Nix.
  doCheck = false;

  passthru = {
    inherit nix;
    pluginFile = "lib/nix/plugins/${loader}";
  };

  meta = {
    description = "builtins.ociHash, a builtin of ${lib.getName nix} ${nix.version} that pins OCI images";
    homepage = cargo.package.repository;
    license = lib.licenses.mit;
    platforms = lib.platforms.unix;
    broken = !support.isSupported nix;
  };
}
