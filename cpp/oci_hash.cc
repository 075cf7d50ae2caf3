// builtins.ociHash: takes the argument apart with Nix's own functions, and asks
// Rust for the answer. Values are forced here and never within Rust, so that
// what they throw passes through C++ alone.
#include "oci_hash.h"

#include "compat.h"
#include "nix-oci-hashes/src/plugin.rs.h"
#include "rust/cxx.h"

namespace oci_hash {
namespace {

const char *documentation = R"(
  Return the pinned reference of an OCI image, such as
  `docker.io/nextcloud:34@sha256:...`, from a table of pins.

  *argument* is a reference:

  ```nix
  builtins.ociHash "docker.io/nextcloud:34"
  ```

  or a set of these attributes:

  - `image`: the image, such as `"docker.io/nextcloud"`; it may carry a tag.
  - `version`: a tag, or a version requirement such as `"^34"`, which answers
    with the highest pinned version that satisfies it.
  - `variant`: the suffix of the tag, such as `"-fpm"`.
  - `platform`: a platform such as `"linux/arm64"` or a Nix system such as
    `"aarch64-linux"`. The answer then carries that platform's digest; without
    it, the digest of the index, which is right on every platform.
  - `digests`: the table: a path to a `digests.json`, or the set that
    `builtins.fromJSON` makes of one. Without it, the table that the plugin was
    built with.

  A reference that already carries a digest is checked against the table. What
  is not pinned is an error that says what is, and that `builtins.tryEval`
  catches.
)";

rust::Slice<const uint8_t> bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t *>(text.data()), text.size()};
}

// The text of a value that has to be a string without context.
std::string_view plain_string(nix::EvalState &state, Position pos,
                              nix::Value &value, const std::string &what) {
  state.forceValue(value, pos);
  if (value.type() != nix::nString)
    throw_error(state, pos,
                "builtins.ociHash: " + what + " is " + type_of(value) +
                    "; write a string");
  if (has_context(value))
    throw_error(state, pos,
                "builtins.ociHash: " + what +
                    " refers to a store path; a reference is a plain string "
                    "such as \"docker.io/nextcloud:34\"");
  return text_of(value);
}

// A table of pins as text, and where it is from: a file's path, or empty for a
// parsed set.
struct Digests {
  std::string_view file;
  std::string_view text;
};

// Reads the attribute `digests` through builtins.readFile, which keeps to pure
// and restricted evaluation and builds what a string's context names; or writes
// a parsed table as JSON again.
Digests read_digests(nix::EvalState &state, Position pos, nix::Value &value) {
  state.forceValue(value, pos);
  auto type = value.type();
  if (type != nix::nPath && type != nix::nString && type != nix::nAttrs)
    throw_error(state, pos,
                "builtins.ociHash: the attribute 'digests' is " +
                    type_of(value) +
                    "; write the path of a digests.json, or its parsed set");
  // A derivation or a flake input stands for its path, as everywhere in Nix.
  auto *path =
      type == nix::nAttrs ? attribute(state, value, "outPath") : &value;
  // What the user's own expressions throw is thrown here, as it is; what comes
  // out of the builtins below is about the table.
  if (path)
    state.forceValue(*path, pos);
  else
    state.forceValueDeep(value);
  std::string_view file;
  if (path && path->type() == nix::nPath)
    file = path_of(*path);
  else if (path && path->type() == nix::nString)
    file = text_of(*path);
  try {
    return {file, text_of(call_builtin(state, pos, path ? "readFile" : "toJSON",
                                       value))};
  } catch (nix::AssertionError &) {
    throw;
  } catch (nix::Abort &) {
    throw;
  } catch (nix::Error &error) {
    throw_error(state, pos,
                "builtins.ociHash: the attribute 'digests' cannot be read: " +
                    std::string(one_line(bytes(message_of(error)))) +
                    "; write the path of a digests.json or the set that "
                    "builtins.fromJSON makes of it, or leave 'digests' out for "
                    "the built-in table");
  }
}

std::string answer(nix::EvalState &state, Position pos, nix::Value &argument) {
  state.forceValue(argument, pos);
  if (argument.type() == nix::nString) {
    auto reference = plain_string(state, pos, argument, "the argument");
    return std::string(answer_reference(bytes(reference)));
  }
  if (argument.type() != nix::nAttrs)
    throw_error(state, pos,
                "builtins.ociHash: the argument is " + type_of(argument) +
                    "; write a reference such as \"docker.io/nextcloud:34\", "
                    "or a set such as { image = \"docker.io/nextcloud\"; "
                    "version = \"34\"; }");
  auto query = new_query();
  nix::Value *digests = nullptr;
  each_attribute(
      state, argument, [&](const std::string &name, nix::Value &value) {
        query->check_attribute(bytes(name));
        if (name == "digests")
          digests = &value;
        else
          query->set_attribute(
              bytes(name), bytes(plain_string(state, pos, value,
                                              "the attribute '" + name + "'")));
      });
  if (!digests)
    return std::string(query->answer());
  auto table = read_digests(state, pos, *digests);
  return std::string(query->answer_from(bytes(table.file), bytes(table.text)));
}

void oci_hash(nix::EvalState &state, Position pos, nix::Value **args,
              nix::Value &result) {
  std::string error;
  try {
    result.mkString(answer(state, pos, *args[0]));
    return;
  } catch (rust::Error &rust_error) {
    error = rust_error.what();
  }
  throw_error(state, pos, "builtins.ociHash: " + error);
}

} // namespace

void register_oci_hash() noexcept {
  register_builtin("__ociHash", "argument", documentation, oci_hash);
}

} // namespace oci_hash
