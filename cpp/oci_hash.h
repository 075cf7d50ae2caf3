// The C++ functions that Rust calls.
#pragma once

#include "root.h"

namespace oci_hash {

// Registers `builtins.ociHash` and its settings with the Nix that loads the
// plugin. Called once, while the plugin is opened.
void register_oci_hash() noexcept;

// Whether the user has pressed Ctrl-C.
bool interrupted() noexcept;

} // namespace oci_hash
