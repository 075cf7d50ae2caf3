// The differences between the flavours and releases of Nix: a function for
// each, with the release that made it.
#pragma once

#include "nix_headers.h"

#include <cstdint>
#include <cstdlib>
#include <limits>
#include <map>
#include <string>
#include <string_view>

namespace oci_hash {

// The position of a call: an index from 2.9 on.
#if OCI_HASH_LIX || NIX_AT_LEAST(2, 9)
using Position = const nix::PosIdx;
#else
using Position = const nix::Pos &;
#endif

// What holds the symbols, the builtins and the store of an evaluation. Lix 2.92
// has put it beside the state.
inline auto &evaluator_of(nix::EvalState &state) {
#if OCI_HASH_LIX
  return state.ctx;
#else
  return state;
#endif
}

// Throws `message` as `builtins.throw` does, so that `tryEval` catches it.
[[noreturn]] inline void throw_error([[maybe_unused]] nix::EvalState &state,
                                     Position pos, const std::string &message) {
#if OCI_HASH_LIX
  state.ctx.errors.make<nix::ThrownError>("%1%", nix::Uncolored(message))
      .atPos(pos)
      .debugThrow();
#elif NIX_AT_LEAST(2, 21) // error() takes the kind of the error
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

inline void warn(const std::string &message) {
#if LIX_AT_LEAST(2, 94)
  printTaggedWarning("%s", message);
#else
  nix::logger->warn(message);
#endif
}

// Whether the user has pressed Ctrl-C. Not checkInterrupt(), which before 2.33
// throws once in the life of a thread.
inline bool is_interrupted() {
#if LIX_AT_LEAST(2, 94)
  return nix::isInterrupted();
#elif NIX_AT_LEAST(2, 22)
  return nix::getInterrupted();
#else
  return nix::_isInterrupted;
#endif
}

// A value of Lix from 2.94 on is one word, and a path there is a string with a
// mark for its context. Lix knows the mark by its address. A plugin has a mark
// of its own at another address, so that only the content tells.
#if LIX_AT_LEAST(2, 94)
inline bool has_path_mark(const nix::Value &value) {
  const auto *const *context = value.string().context;
  return context && *context &&
         *context == std::string_view(*nix::Value::String::path);
}
#endif

inline bool is_string(const nix::Value &value) {
#if LIX_AT_LEAST(2, 94)
  return value.type() == nix::nString && !has_path_mark(value);
#else
  return value.type() == nix::nString;
#endif
}

inline bool is_path(const nix::Value &value) {
#if LIX_AT_LEAST(2, 94)
  return value.type() == nix::nPath ||
         (value.type() == nix::nString && has_path_mark(value));
#else
  return value.type() == nix::nPath;
#endif
}

inline bool is_set(const nix::Value &value) {
  return value.type() == nix::nAttrs;
}

// 2.19: accessors for what is in a value; for sets, 2.22; for paths, 2.16.
inline bool has_context(const nix::Value &value) {
#if LIX_AT_LEAST(2, 94)
  return value.string().context != nullptr;
#elif NIX_AT_LEAST(2, 19)
  return value.context() != nullptr;
#else
  return value.string.context != nullptr;
#endif
}

// The text of a forced string.
inline std::string_view text_of(const nix::Value &value) {
#if OCI_HASH_LIX
  return value.str();
#elif NIX_AT_LEAST(2, 19)
  return value.string_view();
#else
  return value.string.s;
#endif
}

// Whether a forced boolean is true.
inline bool is_true(const nix::Value &value) {
#if LIX_AT_LEAST(2, 94) || NIX_AT_LEAST(2, 22)
  return value.boolean();
#else
  return value.boolean;
#endif
}

// The text of a forced path.
inline std::string path_of(const nix::Value &value) {
#if LIX_AT_LEAST(2, 94)
  return std::string(value.string().content->str());
#elif OCI_HASH_LIX
  return value.path().to_string();
#elif NIX_AT_LEAST(2, 16)
  return value.path().path.abs();
#else
  return value.path;
#endif
}

// The attributes of a forced set; const where Nix has accessors.
inline auto *attributes_of(const nix::Value &set) {
#if LIX_AT_LEAST(2, 94) || NIX_AT_LEAST(2, 22)
  return set.attrs();
#else
  return set.attrs;
#endif
}

// The value of an attribute. Lix 2.94 has values in place of pointers to them.
inline nix::Value &value_of(const nix::Attr &attr) {
#if LIX_AT_LEAST(2, 94)
  return attr.value;
#else
  return *attr.value;
#endif
}

// Calls `f` with name and value of each attribute of a forced set.
template <typename F>
void each_attribute([[maybe_unused]] nix::EvalState &state, nix::Value &set,
                    F f) {
  for (const nix::Attr &attr : *attributes_of(set)) {
#if OCI_HASH_LIX || NIX_AT_LEAST(2, 9) // symbols are indices into a table
    auto &symbols = evaluator_of(state).symbols;
    f(std::string(std::string_view(symbols[attr.name])), value_of(attr));
#else
    f(static_cast<const std::string &>(attr.name), value_of(attr));
#endif
  }
}

// The value of an attribute of a forced set, or null.
inline nix::Value *attribute(nix::EvalState &state, nix::Value &set,
                             const char *name) {
  auto symbol = evaluator_of(state).symbols.create(name);
  auto *attr = attributes_of(set)->get(symbol);
  return attr ? &value_of(*attr) : nullptr;
}

// A new value that is not set yet.
inline nix::Value &new_value(nix::EvalState &state) {
#if LIX_AT_LEAST(2, 94)
  return *state.ctx.mem.allocType<nix::Value>();
#elif OCI_HASH_LIX
  return *state.ctx.mem.allocValue();
#else
  return *state.allocValue();
#endif
}

inline void make_string([[maybe_unused]] nix::EvalState &state,
                        nix::Value &value, std::string_view text) {
#if OCI_HASH_LIX
  value = nix::Value(nix::NewValueAs::string, text);
#elif NIX_AT_LEAST(2, 33) // strings are allocated in the evaluation's memory
  value.mkString(text, state.mem);
#else
  value.mkString(text);
#endif
}

// Keeps a set from the garbage collector. Determinate Nix 3.21.6 has a class
// for it that cannot be copied.
inline nix::RootValue root_of([[maybe_unused]] nix::EvalState &state,
                              nix::Value &set) {
#if LIX_AT_LEAST(2, 94)
  return nix::allocRootValue(set);
#else
  auto &copy = new_value(state);
  copy = set;
#if OCI_HASH_DETERMINATE
  return nix::RootValue(&copy);
#else
  return nix::allocRootValue(&copy);
#endif
#endif
}

// The forced result of one of Nix's builtins.
inline nix::Value &call_builtin(nix::EvalState &state, Position pos,
                                const char *name, nix::Value &argument) {
  nix::Value &result = new_value(state);
#if OCI_HASH_LIX
  auto &builtin = state.ctx.builtins.get(name);
#else
  auto &builtin = state.getBuiltin(name);
#endif
#if LIX_AT_LEAST(2, 95) // the result is returned
  result = state.callFunction(builtin, argument, pos);
#else
  state.callFunction(builtin, argument, result, pos);
#endif
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

// Fails where restricted evaluation may not fetch `uri`.
inline void check_uri_allowed(nix::EvalState &state, const std::string &uri) {
#if OCI_HASH_LIX
  state.ctx.paths.checkURI(uri);
#else
  state.checkURI(uri);
#endif
}

// Whether `path` is within the store, where nothing changes.
inline bool is_in_store(nix::EvalState &state, std::string_view path) {
  // `..` may lead out of it again.
  return path.find("/..") == std::string_view::npos &&
         evaluator_of(state).store->isInStore(std::string(path));
}

// Whether Nix works without a network, because of `--offline` or because it
// finds none. Nix does not record this. It changes the settings below that the
// user has not set. From 2.35 on, `filetransfer-retry-attempts` replaces
// `download-attempts`. `narinfo-cache-meta-ttl` is among them from 2.34 on. Lix
// tries once instead of never.
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
         is("download-attempts", OCI_HASH_LIX ? "1" : "0") ||
         is("connect-timeout", "1") || is("tarball-ttl", forever) ||
         is("narinfo-cache-meta-ttl", forever);
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
#if LIX_AT_LEAST(2, 96) // it returns its result
template <Builtin builtin>
nix::Value call(nix::EvalState &state, nix::Value **args) {
  nix::Value result{nix::Value::null_t{}};
  builtin(state, nix::noPos, *args[0], result);
  return result;
}
#elif OCI_HASH_LIX        // there is no position
template <Builtin builtin>
void call(nix::EvalState &state, nix::Value **args, nix::Value &result) {
  builtin(state, nix::noPos, *args[0], result);
}
#elif NIX_AT_LEAST(2, 36) // the position is in a structure
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
#if LIX_AT_LEAST(2, 95)
  nix::PluginPrimOps::add(
#else
  nix::RegisterPrimOp(
#endif
      {
        .name = name, .args = {argument}, .arity = 1, .doc = doc,
#if NIX_AT_LEAST(2, 34)
        .impl = call<builtin>,
#else
        .fun = call<builtin>,
#endif
      });
}

// Shows the settings in `config` to Nix.
inline void register_settings(nix::Config &config) {
#if LIX_AT_LEAST(2, 95)
  nix::GlobalConfig::registerGlobalConfig(config);
#else
  nix::GlobalConfig::Register registration(&config);
#endif
}

} // namespace oci_hash
