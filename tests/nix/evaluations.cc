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

// A new evaluation, which calls `f` with its state.
template <typename F> void in_evaluation(nix::EvalState &state, F f) {
#if OCI_HASH_LIX
  nix::Evaluator evaluation(state.aio, nix::SearchPath{}, state.ctx.store);
  f(*evaluation.begin(state.aio));
#else
#if NIX_AT_LEAST(2, 24)
  nix::EvalState evaluation(nix::LookupPath{}, state.store, state.fetchSettings,
                            state.settings);
#elif NIX_AT_LEAST(2, 18)
  nix::EvalState evaluation(nix::SearchPath{}, state.store);
#else
  nix::EvalState evaluation(nix::Strings{}, state.store);
#endif
  f(evaluation);
#endif
}

std::string evaluate(nix::EvalState &state, const std::string &expression) {
  try {
    auto &result = new_value(state);
#if OCI_HASH_LIX
    auto &parsed = state.ctx.parseExprFromString(
        expression, nix::CanonPath(std::string_view("/")));
    result = state.eval(parsed);
#else
#if NIX_AT_LEAST(2, 18)
    auto *parsed = state.parseExprFromString(
        expression, state.rootPath(nix::CanonPath::root));
#else
    auto *parsed = state.parseExprFromString(expression, "/");
#endif
    state.eval(parsed, result);
#endif
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
  settings.restrictEval.override(is_true(restrict));
  std::string answer;
  in_evaluation(state, [&](nix::EvalState &evaluation) {
    answer =
        std::to_string(reinterpret_cast<size_t>(&evaluator_of(evaluation))) +
        " " + evaluate(evaluation, std::string(text_of(expression)));
  });
  settings.restrictEval.override(before);
  make_string(state, result, answer);
}

struct Register {
  Register() {
    register_builtin<in_new_evaluation>("__inNewEvaluation", "argument",
                                        "For tests.");
  }
} registration;

} // namespace
