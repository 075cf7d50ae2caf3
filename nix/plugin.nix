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
  # Loaders call it so on every system.
  loader = "libnix_oci_hashes.so";
in
rustPlatform.buildRustPackage {
  pname = "nix-oci-hashes-plugin";
  version = "${cargo.package.version}-nix-${nix.version}";

  src = import ./source.nix { inherit lib; };
  cargoLock.lockFile = ../Cargo.lock;

  nativeBuildInputs = [ pkg-config ];
  # Headers alone: the libraries are in the process that loads the plugin.
  buildInputs = [
    boost
    nix
  ];

  # The library as a cdylib, which `cargo build` has no flag for.
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

  # The command's package runs the tests; what the plugin says in each Nix is
  # asked by the checks of the flake.
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
