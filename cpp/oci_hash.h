// What Rust calls in C++.
#pragma once

namespace oci_hash {

// Makes `builtins.ociHash` known to the Nix that is loading the plugin. To be
// called once, while the plugin is opened.
void register_oci_hash() noexcept;

} // namespace oci_hash
