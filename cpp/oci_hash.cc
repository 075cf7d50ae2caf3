// builtins.ociHash: takes the argument apart with Nix's own functions, and asks
// Rust for the answer. Values are forced here and never within Rust, so that
// what they throw passes through C++ alone.
#include "oci_hash.h"

#include "compat.h"
#include "running_nix.h"
#include "settings.h"
#include "tables.h"

#include <exception>

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
    `builtins.fromJSON` makes of one. Without it, that of the setting
    `oci-hash-digests`, or the table that the plugin was built with.

  A reference that already carries a digest is checked against the table. What
  is not pinned is an error that says what is, and that `builtins.tryEval`
  catches; with the setting `oci-hash-resolve`, impure evaluation asks the
  registry for it instead.
)";

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

// Fails where restricted evaluation may not fetch what would be asked for.
void check_uri(nix::EvalState &state, Position pos, const Answer &answer) {
  try {
    state.checkURI(std::string(answer.url));
  } catch (nix::Error &error) {
    throw_error(state, pos,
                "builtins.ociHash: " + std::string(answer.miss) +
                    ". Its registry was not asked: " +
                    std::string(one_line(bytes(message_of(error)))) +
                    "; the setting 'allowed-uris' allows it");
  }
}

// Asks the registry, where the user allows it.
std::string resolve(nix::EvalState &state, Position pos, const Pending &query,
                    const Shared &table, const Answer &answer) {
  const auto &set = settings();
  if (answer.url.empty() || !set.resolve || is_pure(state))
    throw_error(state, pos, "builtins.ociHash: " + std::string(answer.miss));
  check_uri(state, pos, answer);
  Asking asking;
  for (const auto &registry : set.registries.get())
    asking.registries.push_back(rust::String::lossy(registry));
  asking.timeout = set.timeout;
  asking.ttl = tarball_ttl();
  asking.offline = is_offline();
  try {
    auto resolved = query.resolve(table, asking);
    for (const auto &warning : resolved.warnings)
      warn(std::string(warning));
    return std::string(resolved.pinned);
  } catch (rust::Error &) {
    if (is_interrupted())
      throw nix::Interrupted("interrupted by the user");
    throw;
  }
}

std::string answer(nix::EvalState &state, Position pos, nix::Value &argument) {
  state.forceValue(argument, pos);
  auto query = new_query();
  nix::Value *digests = nullptr;
  if (argument.type() == nix::nString) {
    auto reference = plain_string(state, pos, argument, "the argument");
    query->set_reference(bytes(reference));
  } else if (argument.type() == nix::nAttrs) {
    // Nix has them in an order of its own, which must not decide what is said
    // to be wrong.
    each_attribute(state, argument, [&](const std::string &name, nix::Value &) {
      query->check_attribute(bytes(name));
    });
    digests = attribute(state, argument, "digests");
    for (const char *name : {"image", "version", "variant", "platform"})
      if (auto *value = attribute(state, argument, name))
        query->set_attribute(
            bytes(name),
            bytes(plain_string(state, pos, *value,
                               std::string("the attribute '") + name + "'")));
  } else {
    throw_error(state, pos,
                "builtins.ociHash: the argument is " + type_of(argument) +
                    "; write a reference such as \"docker.io/nextcloud:34\", "
                    "or a set such as { image = \"docker.io/nextcloud\"; "
                    "version = \"34\"; }");
  }
  auto table =
      digests ? table_of(state, pos, *digests) : default_table(state, pos);
  auto answer = query->look_up(*table);
  if (!answer.pinned.empty())
    return std::string(answer.pinned);
  return resolve(state, pos, *query, *table, answer);
}

void oci_hash(nix::EvalState &state, Position pos, nix::Value &argument,
              nix::Value &result) {
  std::string error;
  try {
    make_string(state, result, answer(state, pos, argument));
    return;
  } catch (rust::Error &rust_error) {
    error = rust_error.what();
  }
  throw_error(state, pos, "builtins.ociHash: " + error);
}

// Whether the Nix that opens the plugin is the one that it is built for. A
// build for another may open and crash later; the loader asks before, and this
// is for builds that are named in plugin-files by themselves.
bool is_fitting() {
  constexpr const char *version = OCI_HASH_NIX_VERSION;
  running_nix nix;
  if (!oci_hash_running_nix(&nix)) {
    oci_hash_warn("this plugin is for %s %s, and the running nix tells no "
                  "version; builtins.ociHash is left out",
                  OCI_HASH_NIX_FLAVOUR, version);
    return false;
  }
  if (std::string_view(nix.flavour) == OCI_HASH_NIX_FLAVOUR &&
      oci_hash_same_series(nix.cpp_nix_version, version))
    return true;
  oci_hash_warn("this plugin is for %s %s, and the running %s is %s; "
                "builtins.ociHash is left out; install the plugin for this "
                "Nix, or take it out of 'plugin-files' in nix.conf",
                OCI_HASH_NIX_FLAVOUR, version, nix.name, nix.cpp_nix_version);
  return false;
}

} // namespace

bool interrupted() noexcept { return is_interrupted(); }

void register_oci_hash() noexcept {
  try {
    if (!is_fitting())
      return;
    settings();
    register_builtin<oci_hash>("__ociHash", "argument", documentation);
  } catch (std::exception &error) {
    oci_hash_warn("%s; builtins.ociHash is left out", error.what());
  } catch (...) {
    oci_hash_warn("it cannot be set up; builtins.ociHash is left out");
  }
}

} // namespace oci_hash
