// builtins.ociHash: forces the argument and its attributes with Nix's own
// functions, and calls Rust for the answer. Rust never forces a value, so that
// exceptions of Nix pass only through C++.
#include "oci_hash.h"

#include "compat.h"
#include "messages.h"
#include "running_nix.h"
#include "settings.h"
#include "tables.h"

#include <exception>
#include <set>
#include <vector>

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
  if (!is_string(value))
    fail(state, pos, not_a_string(what, type_of(value)));
  if (has_context(value))
    fail(state, pos, refers_to_a_store_path(what));
  return text_of(value);
}

// Fails where restricted evaluation may not fetch the URL of the registry.
void check_uri(nix::EvalState &state, Position pos, const Answer &answer) {
  try {
    check_uri_allowed(state, std::string(answer.registry_url()));
  } catch (nix::Error &error) {
    fail(state, pos,
         std::string(answer.text()) + ". Its registry was not asked: " +
             std::string(one_line(bytes(message_of(error)))) +
             "; the setting 'allowed-uris' allows it");
  }
}

// Requests the answer from the registry, if the settings allow it.
std::string resolve_miss(nix::EvalState &state, Position pos,
                         const Answer &answer) {
  const auto &set = settings();
  check_uri(state, pos, answer);
  ResolveSettings resolve_settings;
  for (const auto &registry : set.registries.get())
    resolve_settings.registries.push_back(rust::String::lossy(registry));
  resolve_settings.timeout = set.timeout;
  resolve_settings.ttl = tarball_ttl();
  resolve_settings.offline = is_offline();
  try {
    auto resolution = resolve(answer, std::move(resolve_settings));
    for (const auto &warning : resolution.warnings)
      warn(std::string(warning));
    return std::string(resolution.pinned);
  } catch (rust::Error &) {
    if (is_interrupted())
      throw nix::Interrupted("interrupted by the user");
    throw;
  }
}

// Fails for the first attribute, by name, that the set does not take.
void check_names(nix::EvalState &state, Position pos, nix::Value &set) {
  std::set<std::string> unknown;
  each_attribute(state, set, [&](const std::string &name, nix::Value &) {
    if (!is_taken(name))
      unknown.insert(name);
  });
  if (!unknown.empty())
    fail(state, pos, std::string(unknown_attribute(bytes(*unknown.begin()))));
}

std::string answer(nix::EvalState &state, Position pos, nix::Value &argument) {
  state.forceValue(argument, pos);
  std::vector<Attribute> attributes;
  nix::Value *digests = nullptr;
  if (is_string(argument)) {
    auto reference = plain_string(state, pos, argument, "the argument");
    attributes.push_back({AttributeName::Image, bytes(reference)});
  } else if (is_set(argument)) {
    check_names(state, pos, argument);
    digests = attribute(state, argument, "digests");
    for (const auto &[name, text] : attribute_names)
      if (auto *value = attribute(state, argument, text))
        attributes.push_back({name, bytes(plain_string(state, pos, *value,
                                                       the_attribute(text)))});
  } else {
    fail(state, pos, wrong_argument(type_of(argument)));
  }
  auto table =
      digests ? table_of(state, pos, *digests) : default_table(state, pos);
  auto answer = look_up(*table, {attributes.data(), attributes.size()});
  auto outcome = oci_hash::outcome(*answer);
  if (outcome == Outcome::Pinned)
    return std::string(answer->text());
  if (outcome == Outcome::ResolvableMiss && settings().resolve &&
      !is_pure(state))
    return resolve_miss(state, pos, *answer);
  fail(state, pos, std::string(answer->text()));
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
  fail(state, pos, error);
}

// Whether the plugin is built for the running Nix. A build for another Nix may
// open and crash later. The loader checks this too; this check is for a build
// that plugin-files names directly.
bool is_fitting() {
  constexpr const char *version = OCI_HASH_NIX_VERSION;
  running_nix nix;
  if (!oci_hash_running_nix(&nix)) {
    oci_hash_warn("this plugin is for %s %s, and the version of the running "
                  "nix is unknown; builtins.ociHash is left out",
                  OCI_HASH_NIX_FLAVOUR, version);
    return false;
  }
  if (std::string_view(nix.flavour) == OCI_HASH_NIX_FLAVOUR &&
      std::string_view(nix.version) == version)
    return true;
  oci_hash_warn("this plugin is for %s %s, and the running %s is %s; "
                "builtins.ociHash is left out; install the plugin for this "
                "Nix, or take it out of 'plugin-files' in nix.conf",
                OCI_HASH_NIX_FLAVOUR, version, nix.name, nix.version);
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
