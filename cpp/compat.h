// The differences between releases of Nix, each with the release that made it.
// build.rs defines OCI_HASH_NIX_MAJOR and OCI_HASH_NIX_MINOR from the headers
// that it compiles against. nix/versions.txt lists the versions.
#pragma once

#define NIX_AT_LEAST(major, minor)                                             \
  (OCI_HASH_NIX_MAJOR > (major) ||                                             \
   (OCI_HASH_NIX_MAJOR == (major) && OCI_HASH_NIX_MINOR >= (minor)))

// 2.28: headers in a folder a library, each with the configuration it needs.
#if NIX_AT_LEAST(2, 28)
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

#include <cstdint>
#include <cstdlib>
#include <limits>
#include <map>
#include <string>
#include <string_view>

namespace oci_hash {

// The position of a call: an index from 2.9 on.
#if NIX_AT_LEAST(2, 9)
using Position = const nix::PosIdx;
#else
using Position = const nix::Pos &;
#endif

// Throws `message` as `builtins.throw` does, so that `tryEval` catches it.
[[noreturn]] inline void throw_error([[maybe_unused]] nix::EvalState &state,
                                     Position pos, const std::string &message) {
#if NIX_AT_LEAST(2, 21) // error() takes the kind of the error
  state.error<nix::ThrownError>("%1%", nix::Uncolored(message))
      .atPos(pos)
      .debugThrow();
#elif NIX_AT_LEAST(2, 14) // errors are built by the state
  state.error("%1%", nix::normaltxt(message))
      .atPos(pos)
      .debugThrow<nix::ThrownError>();
#else
  throw nix::ThrownError(
      {.msg = nix::hintfmt("%1%", nix::normaltxt(message)), .errPos = pos});
#endif
  std::abort(); // not reached; debugThrow is not marked everywhere
}

// The message of an error, without its kind, position and trace.
inline std::string message_of(const nix::BaseError &error) {
  return nix::filterANSIEscapes(error.info().msg.str(), true);
}

inline void warn(const std::string &message) { nix::logger->warn(message); }

// Whether the user has pressed Ctrl-C. Not checkInterrupt(), which before 2.33
// throws once in the life of a thread.
inline bool is_interrupted() {
#if NIX_AT_LEAST(2, 22)
  return nix::getInterrupted();
#else
  return nix::_isInterrupted;
#endif
}

// 2.19: accessors for what is in a value; for sets, 2.22; for paths, 2.16.
inline bool has_context(const nix::Value &value) {
#if NIX_AT_LEAST(2, 19)
  return value.context() != nullptr;
#else
  return value.string.context != nullptr;
#endif
}

// The text of a forced string.
inline std::string_view text_of(const nix::Value &value) {
#if NIX_AT_LEAST(2, 19)
  return value.string_view();
#else
  return value.string.s;
#endif
}

// Whether a forced boolean is true.
inline bool is_true(const nix::Value &value) {
#if NIX_AT_LEAST(2, 22)
  return value.boolean();
#else
  return value.boolean;
#endif
}

// The text of a forced path.
inline std::string path_of(const nix::Value &value) {
#if NIX_AT_LEAST(2, 16)
  return value.path().path.abs();
#else
  return value.path;
#endif
}

// The attributes of a forced set; const where Nix has accessors.
inline auto *attributes_of(const nix::Value &set) {
#if NIX_AT_LEAST(2, 22)
  return set.attrs();
#else
  return set.attrs;
#endif
}

// Calls `f` with name and value of each attribute of a forced set.
template <typename F>
void each_attribute([[maybe_unused]] nix::EvalState &state, nix::Value &set,
                    F f) {
  for (const nix::Attr &attr : *attributes_of(set)) {
#if NIX_AT_LEAST(2, 9) // symbols are indices into a table of the evaluation
    f(std::string(std::string_view(state.symbols[attr.name])), *attr.value);
#else
    f(static_cast<const std::string &>(attr.name), *attr.value);
#endif
  }
}

// The value of an attribute of a forced set, or null.
inline nix::Value *attribute(nix::EvalState &state, nix::Value &set,
                             const char *name) {
  auto *attr = attributes_of(set)->get(state.symbols.create(name));
  return attr ? attr->value : nullptr;
}

inline void make_string([[maybe_unused]] nix::EvalState &state,
                        nix::Value &value, std::string_view text) {
#if NIX_AT_LEAST(2, 33) // strings are allocated in the evaluation's memory
  value.mkString(text, state.mem);
#else
  value.mkString(text);
#endif
}

// The forced result of one of Nix's builtins.
inline nix::Value &call_builtin(nix::EvalState &state, Position pos,
                                const char *name, nix::Value &argument) {
  nix::Value &result = *state.allocValue();
  state.callFunction(state.getBuiltin(name), argument, result, pos);
  state.forceValue(result, pos);
  return result;
}

// The type of a value, as errors name it: "an integer".
inline std::string type_of(const nix::Value &value) {
  return nix::showType(value);
}

// 2.24: evaluations have settings of their own.
inline bool is_pure([[maybe_unused]] nix::EvalState &state) {
#if NIX_AT_LEAST(2, 24)
  return state.settings.pureEval;
#else
  return nix::evalSettings.pureEval;
#endif
}

// Whether evaluation may read only some files.
inline bool is_restricted([[maybe_unused]] nix::EvalState &state) {
#if NIX_AT_LEAST(2, 24)
  return state.settings.pureEval || state.settings.restrictEval;
#else
  return nix::evalSettings.pureEval || nix::evalSettings.restrictEval;
#endif
}

// Whether `path` is within the store, where nothing changes.
inline bool is_in_store(nix::EvalState &state, std::string_view path) {
  // `..` may lead out of it again.
  return path.find("/..") == std::string_view::npos &&
         state.store->isInStore(std::string(path));
}

// Whether Nix works without a network, because of `--offline` or because it
// finds none. Nix does not record this. It changes the settings below that the
// user has not set. From 2.35 on, `filetransfer-retry-attempts` replaces
// `download-attempts`. `narinfo-cache-meta-ttl` is among them from 2.34 on.
inline bool is_offline() {
  std::map<std::string, nix::AbstractConfig::SettingInfo> all, by_user;
  nix::globalConfig.getSettings(all);
  nix::globalConfig.getSettings(by_user, true);
  auto is = [&](const char *name, const std::string &value) {
    auto found = all.find(name);
    return found != all.end() && found->second.value == value &&
           by_user.count(name) == 0;
  };
  auto forever = std::to_string(std::numeric_limits<unsigned int>::max());
  return is("substitute", "false") || is("filetransfer-retry-attempts", "0") ||
         is("download-attempts", "0") || is("connect-timeout", "1") ||
         is("tarball-ttl", forever) || is("narinfo-cache-meta-ttl", forever);
}

// How long fetched content is fresh, in seconds.
inline uint64_t tarball_ttl() {
  std::map<std::string, nix::AbstractConfig::SettingInfo> all;
  nix::globalConfig.getSettings(all);
  auto found = all.find("tarball-ttl");
  return found == all.end() ? 3600 : std::stoull(found->second.value);
}

// A builtin of one argument.
using Builtin = void(nix::EvalState &, Position, nix::Value &argument,
                     nix::Value &result);

// The function that Nix calls for `builtin`.
#if NIX_AT_LEAST(2, 36) // the position is in a structure
template <Builtin builtin>
void call(nix::EvalState &state, nix::CallSite site, nix::Value *const *args,
          nix::Value &result) {
  builtin(state, site.pos, *args[0], result);
}
#else
template <Builtin builtin>
void call(nix::EvalState &state, Position pos, nix::Value **args,
          nix::Value &result) {
  builtin(state, pos, *args[0], result);
}
#endif

// Adds a builtin to the ones Nix starts with. A name that begins with two
// underscores appears without them only in the set `builtins`.
template <Builtin builtin>
void register_builtin(const char *name, const char *argument, const char *doc) {
  nix::RegisterPrimOp({
    .name = name, .args = {argument}, .arity = 1, .doc = doc,
#if NIX_AT_LEAST(2, 34)
    .impl = call<builtin>,
#else
    .fun = call<builtin>,
#endif
  });
}

} // namespace oci_hash
