// All that differs between the versions of Nix, as it is in 2.8; build.rs lets
// no other in.
#pragma once

#include "config.h"

#include "eval-inline.hh"
#include "primops.hh"
#include "util.hh"

#include <string>
#include <string_view>

namespace oci_hash {

// The position of a call; a PosIdx from 2.9 on.
using Position = const nix::Pos &;

// Throws `message` as `builtins.throw` does, so that `tryEval` catches it.
[[noreturn]] inline void throw_error(nix::EvalState &, Position pos,
                                     const std::string &message) {
  throw nix::ThrownError(
      {.msg = nix::hintfmt("%1%", nix::normaltxt(message)), .errPos = pos});
}

// The message of an error, without its kind, position and trace.
inline std::string message_of(const nix::BaseError &error) {
  return nix::filterANSIEscapes(error.info().msg.str(), true);
}

inline bool has_context(const nix::Value &value) {
  return value.string.context != nullptr;
}

// The text of a forced string.
inline std::string_view text_of(const nix::Value &value) {
  return value.string.s;
}

// The text of a forced path.
inline std::string_view path_of(const nix::Value &value) { return value.path; }

// Calls `f` with name and value of each attribute of a forced set.
template <typename F>
void each_attribute(nix::EvalState &, nix::Value &set, F f) {
  for (const nix::Attr &attr : *set.attrs)
    f(static_cast<const std::string &>(attr.name), *attr.value);
}

// The value of an attribute of a forced set, or null.
inline nix::Value *attribute(nix::EvalState &state, nix::Value &set,
                             const char *name) {
  auto *attr = set.attrs->get(state.symbols.create(name));
  return attr ? attr->value : nullptr;
}

// The result of one of Nix's own builtins, forced.
inline nix::Value &call_builtin(nix::EvalState &state, Position pos,
                                const char *name, nix::Value &argument) {
  nix::Value &result = *state.allocValue();
  state.callFunction(state.getBuiltin(name), argument, result, pos);
  state.forceValue(result, pos);
  return result;
}

// What an error calls the type of a value: "an integer".
inline std::string type_of(const nix::Value &value) {
  return nix::showType(value);
}

// Adds a builtin of one argument to the ones Nix starts with. Names with two
// underscores are not put into the scope of every expression without them.
inline void register_builtin(const char *name, const char *argument,
                             const char *doc, nix::PrimOpFun function) {
  nix::RegisterPrimOp({.name = name,
                       .args = {argument},
                       .arity = 1,
                       .doc = doc,
                       .fun = function});
}

} // namespace oci_hash
