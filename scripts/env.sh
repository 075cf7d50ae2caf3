# shellcheck shell=bash
# Sets the paths of the Nix that the plugin is built for and tested with, and of the
# registry server of the tests. Source this file.
#
# If pkg-config finds the development files of a Nix, these are used. Otherwise
# PKG_CONFIG_PATH gets the headers that scripts/setup has unpacked for the Nix of
# Debian 12, whose packages have no headers. NIX_OCI_HASHES_NIX=2.26 selects the Nix
# that scripts/setup-nix26 has built, even if there is another one.

debian_nix=2.8.0
cache="${XDG_CACHE_HOME:-$HOME/.cache}/nix-oci-hashes"
nix_dev="$cache/nix-$debian_nix-dev"
nix26_version=2.26.3
nix26="$cache/nix-$nix26_version"
registry_bin="$cache/docker-registry/usr/bin"
docker="$cache/docker/usr"
lint="$cache/lint"
# shellcheck disable=SC2034 # for setup-axe and the Makefile
axe="$cache/axe.min.js"
# shellcheck disable=SC2034 # for setup-renovate and the Makefile
renovate="$cache/renovate/node_modules/.bin/renovate"

# Prints the pkg-config module of the Nix whose headers there are.
nix_module() {
  local module
  command -v pkg-config >/dev/null || return 1
  for module in nix-expr lix-expr; do
    if pkg-config --exists "$module"; then
      echo "$module"
      return
    fi
  done
  return 1
}

# Succeeds if the headers of the Nix that pkg-config finds exist.
nix_headers_found() {
  local module flag header
  module=$(nix_module) || return 1
  for flag in $(pkg-config --cflags-only-I "$module") -I/usr/include; do
    for header in eval.hh nix/eval.hh nix/expr/eval.hh lix/libexpr/eval.hh; do
      [ -e "${flag#-I}/$header" ] && return 0
    done
  done
  return 1
}

# What `nix --version` says of the nix on PATH. Lix adds lines with details.
nix_version() { nix --version | head -n 1; }

if [ "${NIX_OCI_HASHES_NIX:-}" = 2.26 ]; then
  export PKG_CONFIG_PATH="$nix26/share/pkgconfig" PATH="$nix26/bin:$PATH"
elif ! nix_headers_found; then
  export PKG_CONFIG_PATH="$nix_dev/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}"
fi
export PATH="$PATH:$registry_bin:$docker/bin:$docker/sbin:$lint/bin"
