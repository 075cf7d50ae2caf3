// What Rust calls.
#pragma once

#include "root.h"

namespace oci_hash {

// Makes `builtins.ociHash` and its settings known to the Nix that is loading
// the plugin. To be called once, while the plugin is opened.
void register_oci_hash() noexcept;

// Whether the user has pressed Ctrl-C.
bool interrupted() noexcept;

} // namespace oci_hash
