# shellcheck shell=bash
# Where the Nix is that the plugin is built for and tested with, and the
# registry server of the tests. Sourced, never run.
#
# A Nix whose development files pkg-config finds is used as it is. Otherwise
# PKG_CONFIG_PATH is pointed at the headers that scripts/setup keeps for the
# Nix of Debian 12, whose packages hold none.

debian_nix=2.8.0
cache="${XDG_CACHE_HOME:-$HOME/.cache}/nix-oci-hashes"
nix_dev="$cache/nix-$debian_nix-dev"
registry_bin="$cache/docker-registry/usr/bin"

# True where the Nix that pkg-config names has its headers on disk.
nix_headers_found() {
  local flag header
  command -v pkg-config >/dev/null && pkg-config --exists nix-expr || return 1
  for flag in $(pkg-config --cflags-only-I nix-expr) -I/usr/include; do
    for header in eval.hh nix/eval.hh nix/expr/eval.hh; do
      [ -e "${flag#-I}/$header" ] && return 0
    done
  done
  return 1
}

if ! nix_headers_found; then
  export PKG_CONFIG_PATH="$nix_dev/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}"
fi
export PATH="$PATH:$registry_bin"
