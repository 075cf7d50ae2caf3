# The plugin for one Nix, behind the loader:
#
#   plugin.override { nix = pkgs.nixVersions.latest; }
#
# `plugin-files` names lib/nix/plugins/libnix_oci_hashes.so in it.
{
  lib,
  stdenv,
  rustPlatform,
  pkg-config,
  boost,
  nix,
}:
let
  cargo = builtins.fromTOML (builtins.readFile ../Cargo.toml);
  support = import ./support.nix { inherit lib; };
  inherit (stdenv.hostPlatform) extensions;
  target = stdenv.hostPlatform.rust.rustcTarget;
  # The loader has this file name on every system, macOS included.
  loader = "libnix_oci_hashes.so";
in
rustPlatform.buildRustPackage {
  pname = "nix-oci-hashes-plugin";
  version = "${cargo.package.version}-nix-${nix.version}";

  src = import ./source.nix { inherit lib; };
  cargoLock.lockFile = ../Cargo.lock;

  nativeBuildInputs = [ pkg-config ];
  # Only for their headers: the process that loads the plugin contains the libraries.
  buildInputs = [
    boost
    nix
  ];

  # `cargo build` has no flag to build the library as a cdylib.
  buildPhase = ''
    runHook preBuild
    cargo rustc --release --frozen --target ${target} -j "$NIX_BUILD_CORES" \
      --lib --crate-type cdylib --no-default-features --features plugin
    $CC -std=c11 -O2 -fPIC -shared -fvisibility=hidden -o ${loader} cpp/loader.c cpp/running_nix.c
    runHook postBuild
  '';

  installPhase = ''
    runHook preInstall
    install -Dm755 ${loader} $out/lib/nix/plugins/${loader}
    install -Dm755 target/${target}/release/libnix_oci_hashes${extensions.sharedLibrary} \
      $out/lib/nix-oci-hashes/nix-${nix.version}.so
    runHook postInstall
  '';

  # package.nix runs the tests. The checks of the flake test the plugin in each Nix.
  doCheck = false;

  passthru = {
    inherit nix;
    pluginFile = "lib/nix/plugins/${loader}";
  };

  meta = {
    description = "builtins.ociHash, a builtin of Nix ${nix.version} that pins OCI images";
    homepage = cargo.package.repository;
    license = lib.licenses.mit;
    platforms = lib.platforms.unix;
    broken = !support.isSupported nix;
  };
}
