// Which table a lookup is made in, read by Nix's own means and parsed once an
// evaluation.
#pragma once

#include "compat.h"
#include "nix-oci-hashes/src/plugin/bridge.rs.h"
#include "rust/cxx.h"

namespace oci_hash {

// Text for Rust.
rust::Slice<const uint8_t> bytes(std::string_view text);

// The table that `digests`, the argument's attribute, names: a path, a string
// or a derivation, or a parsed table.
rust::Box<Table> table_of(nix::EvalState &state, Position pos,
                          nix::Value &digests);

// The table of the setting oci-hash-digests, or where it does not count, that
// of the plugin.
rust::Box<Table> default_table(nix::EvalState &state, Position pos);

} // namespace oci_hash
