// A plugin for tests: `builtins.inNewEvaluation { restrict = true; expression =
// "..."; }` evaluates a string in a new evaluation, in this process. Returns
// the address of that evaluation, and its result or error as text.
#include "compat.h"

#include <memory>

using namespace oci_hash;

namespace {

nix::EvalSettings &settings_of([[maybe_unused]] nix::EvalState &state) {
#if NIX_AT_LEAST(2, 24)
  return const_cast<nix::EvalSettings &>(state.settings);
#else
  return nix::evalSettings;
#endif
}

std::unique_ptr<nix::EvalState> new_evaluation(nix::EvalState &state) {
#if NIX_AT_LEAST(2, 24)
  return std::make_unique<nix::EvalState>(nix::LookupPath{}, state.store,
                                          state.fetchSettings, state.settings);
#elif NIX_AT_LEAST(2, 18)
  return std::make_unique<nix::EvalState>(nix::SearchPath{}, state.store);
#else
  return std::make_unique<nix::EvalState>(nix::Strings{}, state.store);
#endif
}

std::string evaluate(nix::EvalState &state, const std::string &expression) {
  try {
    nix::Value result;
#if NIX_AT_LEAST(2, 18)
    auto *parsed = state.parseExprFromString(
        expression, state.rootPath(nix::CanonPath::root));
#else
    auto *parsed = state.parseExprFromString(expression, "/");
#endif
    state.eval(parsed, result);
    state.forceValue(result, nix::noPos);
    return std::string(text_of(result));
  } catch (nix::Error &error) {
    return "error: " + message_of(error);
  }
}

void in_new_evaluation(nix::EvalState &state, Position pos,
                       nix::Value &argument, nix::Value &result) {
  state.forceValue(argument, pos);
  auto &restrict = *attribute(state, argument, "restrict");
  auto &expression = *attribute(state, argument, "expression");
  state.forceValue(restrict, pos);
  state.forceValue(expression, pos);
  auto &settings = settings_of(state);
  bool before = settings.restrictEval;
  settings.restrictEval = is_true(restrict);
  std::string answer;
  {
    auto evaluation = new_evaluation(state);
    answer = std::to_string(reinterpret_cast<size_t>(evaluation.get())) + " " +
             evaluate(*evaluation, std::string(text_of(expression)));
  }
  settings.restrictEval = before;
  make_string(state, result, answer);
}

struct Register {
  Register() {
    register_builtin<in_new_evaluation>("__inNewEvaluation", "argument",
                                        "For tests.");
  }
} registration;

} // namespace
