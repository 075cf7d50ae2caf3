// What the builtin takes, and what it says where it is given something else.
#pragma once

#include "nix-oci-hashes/src/plugin/bridge.rs.h"
#include "rust/cxx.h"

#include <string>
#include <string_view>
#include <utility>

namespace oci_hash {

// The attributes that a lookup takes beside `digests`, with the names that
// users write.
constexpr std::pair<AttributeName, const char *> attribute_names[] = {
    {AttributeName::Image, "image"},
    {AttributeName::Version, "version"},
    {AttributeName::Variant, "variant"},
    {AttributeName::Platform, "platform"},
};

// Whether the argument takes an attribute of this name.
inline bool is_taken(std::string_view name) {
  for (const auto &known : attribute_names)
    if (name == known.second)
      return true;
  return name == "digests";
}

// How deeply sets with an outPath may be nested.
constexpr int deepest_path = 32;

// What every error of the builtin begins with.
constexpr const char *error_prefix = "builtins.ociHash: ";

// What errors call the attribute `digests`.
constexpr const char *the_digests = "the attribute 'digests'";

// Text for Rust.
inline rust::Slice<const uint8_t> bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t *>(text.data()), text.size()};
}

// What errors call an attribute.
inline std::string the_attribute(const std::string &name) {
  return "the attribute '" + name + "'";
}

// `type` is that of the value, such as "an integer".
inline std::string wrong_argument(const std::string &type) {
  return "the argument is " + type +
         "; write a reference such as \"docker.io/nextcloud:34\", or a set "
         "such as { image = \"docker.io/nextcloud\"; version = \"34\"; }";
}

inline std::string not_a_string(const std::string &what,
                                const std::string &type) {
  return what + " is " + type + "; write a string";
}

inline std::string refers_to_a_store_path(const std::string &what) {
  return what + " refers to a store path; a reference is a plain string such "
                "as \"docker.io/nextcloud:34\"";
}

inline std::string not_a_table(bool is_nested, const std::string &type) {
  return the_digests +
         std::string(is_nested ? " has an outPath that is " : " is ") + type +
         "; write the path of a digests.json, or its parsed set";
}

// `reason` is the message of Nix's error.
inline std::string cannot_be_read(const std::string &what,
                                  const std::string &reason,
                                  const std::string &remedy) {
  return what + " cannot be read: " + std::string(one_line(bytes(reason))) +
         "; " + remedy;
}

// What to write instead of `digests` that cannot be read. `otherwise` is what
// can be done without the attribute, if anything.
inline std::string remedy_of_digests(const std::string &otherwise = "") {
  return "write the path of a digests.json or the set that builtins.fromJSON "
         "makes of it" +
         otherwise;
}

} // namespace oci_hash
