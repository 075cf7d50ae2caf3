// Nix's headers, and what tells its flavours and releases apart. build.rs
// defines these from the headers that it compiles against:
//
//   OCI_HASH_LIX, OCI_HASH_DETERMINATE   1 for that flavour, or 0
//   OCI_HASH_MAJOR, OCI_HASH_MINOR       of the release: Lix has its own
//                                        numbers, Determinate Nix those of Nix
//
// nix/versions.txt lists the releases.
#pragma once

#define OCI_HASH_AT_LEAST(major, minor)                                        \
  (OCI_HASH_MAJOR > (major) ||                                                 \
   (OCI_HASH_MAJOR == (major) && OCI_HASH_MINOR >= (minor)))
// Whether this is Nix, or Determinate Nix, of this release or later.
#define NIX_AT_LEAST(major, minor)                                             \
  (!OCI_HASH_LIX && OCI_HASH_AT_LEAST(major, minor))
// Whether this is Lix of this release or later.
#define LIX_AT_LEAST(major, minor)                                             \
  (OCI_HASH_LIX && OCI_HASH_AT_LEAST(major, minor))

#if OCI_HASH_LIX
#if LIX_AT_LEAST(2, 96)
// Lix has a namespace `rust` of its own, whose names and `rust::std` collide
// with those of cxx. The headers of cxx come first, and Lix's namespace is
// renamed: the plugin uses nothing in it.
#include "nix-oci-hashes/src/plugin/bridge.rs.h"
#include "rust/cxx.h"
#define rust lix_rust
#endif

// The first of Lix's headers must be its configuration.
#include "lix/config.h"

#include "lix/libexpr/eval-inline.hh"
#include "lix/libexpr/eval-settings.hh"
#include "lix/libexpr/eval.hh"
#include "lix/libexpr/primops.hh"
#include "lix/libstore/globals.hh"
#include "lix/libstore/store-api.hh"
#include "lix/libutil/logging.hh"
#include "lix/libutil/signals.hh"
#include "lix/libutil/terminal.hh"
#undef rust
#elif NIX_AT_LEAST(2, 28) // headers in a folder a library
#include "nix/expr/eval-inline.hh"
#include "nix/expr/eval-settings.hh"
#include "nix/expr/eval.hh"
#include "nix/expr/primops.hh"
#include "nix/store/globals.hh"
#include "nix/store/store-api.hh"
#include "nix/util/config-global.hh"
#include "nix/util/logging.hh"
#include "nix/util/signals.hh"
#include "nix/util/terminal.hh"
#else
// The configuration must come first. Builds with Meson (2.24, and from 2.26 on)
// have one file for each library, builds with make have one for all.
#if __has_include("config-expr.hh")
#include "config-util.hh"

#include "config-store.hh"

#include "config-expr.hh"
#else
#include "config.h"
#endif
#include "eval-inline.hh"
#include "globals.hh"
#include "logging.hh"
#include "primops.hh"
#include "store-api.hh"
#include "util.hh"
// 2.18: own headers for evaluation's settings.
#if NIX_AT_LEAST(2, 18)
#include "eval-settings.hh"
#endif
// 2.19: own headers for parts of util.hh.
#if NIX_AT_LEAST(2, 19)
#include "signals.hh"
#include "terminal.hh"
#endif
// 2.22: the definitions for signals.hh.
#if NIX_AT_LEAST(2, 22)
#include "signals-impl.hh"
#endif
// 2.24: own header for the settings of everything together.
#if NIX_AT_LEAST(2, 24)
#include "config-global.hh"
#endif
#endif
