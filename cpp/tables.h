// Finds the table for a lookup. Nix's own builtins read it, and it is parsed
// once for each evaluation.
#pragma once

#include "compat.h"
#include "messages.h"
#include "nix-oci-hashes/src/plugin/bridge.rs.h"
#include "rust/cxx.h"

namespace oci_hash {

// Throws an error of the builtin.
[[noreturn]] inline void fail(nix::EvalState &state, Position pos,
                              const std::string &message) {
  throw_error(state, pos, error_prefix + message);
}

// The table that `digests`, the argument's attribute, names: a path, a string
// or a derivation, or a parsed table.
rust::Box<Table> table_of(nix::EvalState &state, Position pos,
                          nix::Value &digests);

// The table of the setting oci-hash-digests, or the built-in one if the setting
// is empty or evaluation is pure.
rust::Box<Table> default_table(nix::EvalState &state, Position pos);

} // namespace oci_hash
