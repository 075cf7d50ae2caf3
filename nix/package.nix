# The command, with its manual pages and shell completions.
{
  lib,
  stdenv,
  rustPlatform,
  installShellFiles,
  git,
}:
let
  cargo = builtins.fromTOML (builtins.readFile ../Cargo.toml);
in
rustPlatform.buildRustPackage {
  pname = cargo.package.name;
  inherit (cargo.package) version;

  src = import ./source.nix { inherit lib; };
  cargoLock.lockFile = ../Cargo.lock;

  nativeBuildInputs = [ installShellFiles ];
  # Of the tests of `diff`, `history` and `site`.
  nativeCheckInputs = [ git ];

  # Only the tests that need no other program; `make test` runs all tests.
  cargoTestFlags = [
    "--lib"
    "--bins"
    "--test=it"
  ];
  checkFlags = [
    "--skip=command::"
    "--skip=registry_faults::"
    "--skip=soak::"
    "--skip=unattended::"
    "--skip=verbs::"
    "--skip=versions::"
  ];

  postInstall = lib.optionalString (stdenv.buildPlatform.canExecute stdenv.hostPlatform) ''
    mkdir pages
    $out/bin/nix-oci-hashes manual pages
    installManPage pages/*.1
    for shell in bash fish zsh; do
      $out/bin/nix-oci-hashes completions $shell >nix-oci-hashes.$shell
      installShellCompletion --cmd nix-oci-hashes --$shell nix-oci-hashes.$shell
    done
  '';

  meta = {
    inherit (cargo.package) description;
    homepage = cargo.package.repository;
    license = lib.licenses.mit;
    mainProgram = "nix-oci-hashes";
    platforms = lib.platforms.unix;
  };
}
