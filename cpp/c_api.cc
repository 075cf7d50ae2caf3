// builtins.ociHash for Nix's C API, which later releases of Nix keep. It stands
// in where there is no build for the release. The API gives a builtin no
// settings, no position and no error that can be caught. So this one answers
// only from a table that the argument names, and asks no registry.
#include "oci_hash.h"

#include "messages.h"
#include "running_nix.h"

#include <cstdlib>
#include <exception>
#include <memory>
#include <nix_api_expr.h>
#include <nix_api_value.h>
#include <set>
#include <vector>

namespace oci_hash {
namespace {

const char *documentation = R"(
  Return the pinned reference of an OCI image, such as
  `docker.io/nextcloud:34@sha256:...`, from a table of pins.

  *argument* is a set with `digests`, the path of a `digests.json` or its parsed
  set, and with `image`, `version`, `variant` and `platform`.
)";

// Thrown where the context of the call holds an error of Nix.
struct ErrorOfNix {};

// An error of the builtin.
struct Failure {
  std::string message;
};

[[noreturn]] void fail(const std::string &message) { throw Failure{message}; }

void append(const char *start, unsigned int length, void *text) {
  static_cast<std::string *>(text)->append(start, length);
}

// Frees a reference to a value. The garbage collector frees the value.
struct Release {
  void operator()(nix_value *value) const { nix_value_decref(nullptr, value); }
};
using Value = std::unique_ptr<nix_value, Release>;

// One call of the builtin.
class Call {
public:
  Call(nix_c_context *context, EvalState *state)
      : context(context), state(state) {}

  ValueType type(const nix_value *value) {
    auto type = nix_get_type(context, value);
    check();
    return type;
  }

  // The type of a value, as errors name it: "an integer".
  std::string type_name(const nix_value *value) {
    auto *name = nix_get_typename(context, value);
    check();
    std::unique_ptr<const char, void (*)(const char *)> owned(
        name, [](const char *text) { free(const_cast<char *>(text)); });
    return name;
  }

  void force(nix_value *value) {
    nix_value_force(context, state, value);
    check();
  }

  void force_deep(nix_value *value) {
    nix_value_force_deep(context, state, value);
    check();
  }

  std::string text(const nix_value *value) {
    std::string text;
    nix_get_string(context, value, append, &text);
    check();
    return text;
  }

  std::string path(const nix_value *value) {
    auto *path = nix_get_path_string(context, value);
    check();
    return path;
  }

  std::vector<std::string> names(nix_value *set) {
    std::vector<std::string> names;
    auto size = nix_get_attrs_size(context, set);
    check();
    for (unsigned int i = 0; i < size; i++) {
      auto *name = nix_get_attr_name_byidx(context, set, state, i);
      check();
      names.push_back(name);
    }
    return names;
  }

  // The value of an attribute, or null.
  Value attribute(const nix_value *set, const char *name) {
    bool is_there = nix_has_attr_byname(context, set, state, name);
    check();
    if (!is_there)
      return nullptr;
    Value value(nix_get_attr_byname_lazy(context, set, state, name));
    check();
    return value;
  }

  // The result of one of Nix's builtins.
  Value call_builtin(const char *name, nix_value *argument) {
    Value builtin(nix_alloc_value(context, state)),
        result(nix_alloc_value(context, state));
    check();
    auto expression = std::string("builtins.") + name;
    nix_expr_eval_from_string(context, state, expression.c_str(), "/",
                              builtin.get());
    check();
    nix_value_call(context, state, builtin.get(), argument, result.get());
    check();
    force(result.get());
    return result;
  }

  bool has_context(nix_value *string) {
    auto result = call_builtin("hasContext", string);
    bool is_true = nix_get_bool(context, result.get());
    check();
    return is_true;
  }

  // The text that one of Nix's builtins makes of `digests`. Its errors are
  // about the table, and become errors that say so.
  std::string read(const char *builtin, nix_value *digests) {
    try {
      return text(call_builtin(builtin, digests).get());
    } catch (ErrorOfNix &) {
      std::string reason;
      if (nix_err_code(context) != NIX_ERR_NIX_ERROR ||
          nix_err_info_msg(nullptr, context, append, &reason) != NIX_OK)
        throw;
      fail(cannot_be_read(the_digests, without_colours(reason),
                          remedy_of_digests()));
    }
  }

private:
  void check() {
    if (nix_err_code(context) != NIX_OK)
      throw ErrorOfNix{};
  }

  // Without the escape sequences that colour parts of a message.
  static std::string without_colours(const std::string &message) {
    std::string plain;
    for (size_t i = 0; i < message.size(); i++) {
      auto end = message.compare(i, 2, "\33[") == 0 ? message.find('m', i)
                                                    : std::string::npos;
      if (end == std::string::npos)
        plain += message[i];
      else
        i = end;
    }
    return plain;
  }

  nix_c_context *context;
  EvalState *state;
};

// The text of a value that has to be a string without context.
std::string plain_string(Call &call, nix_value *value,
                         const std::string &what) {
  call.force(value);
  if (call.type(value) != NIX_TYPE_STRING)
    fail(not_a_string(what, call.type_name(value)));
  if (call.has_context(value))
    fail(refers_to_a_store_path(what));
  return call.text(value);
}

rust::Box<Table> table_of_set(Call &call, nix_value *set) {
  // What the user's own expressions throw is thrown here, unchanged.
  call.force_deep(set);
  return table_of_json(bytes(call.read("toJSON", set)));
}

// The table that `digests` names: a path, a string or a derivation, or a parsed
// table.
rust::Box<Table> table_of(Call &call, nix_value *digests) {
  Value inner;
  auto *path = digests;
  call.force(path);
  for (int depth = 0; depth < deepest_path && call.type(path) == NIX_TYPE_ATTRS;
       depth++) {
    auto next = call.attribute(path, "outPath");
    if (!next && depth == 0)
      return table_of_set(call, digests);
    if (!next)
      break;
    inner = std::move(next);
    path = inner.get();
    call.force(path);
  }
  auto type = call.type(path);
  if (type == NIX_TYPE_PATH || type == NIX_TYPE_STRING) {
    auto name = type == NIX_TYPE_PATH ? call.path(path) : call.text(path);
    return table_of_text(bytes(name), bytes(call.read("readFile", path)));
  }
  fail(not_a_table(path != digests, call.type_name(path)));
}

void check_names(Call &call, nix_value *set) {
  std::set<std::string> unknown;
  for (auto &name : call.names(set))
    if (!is_taken(name))
      unknown.insert(name);
  if (!unknown.empty())
    fail(std::string(unknown_attribute(bytes(*unknown.begin()))));
}

std::string answer(Call &call, nix_value *argument) {
  call.force(argument);
  std::vector<std::string> texts;
  std::vector<AttributeName> names;
  Value digests;
  if (call.type(argument) == NIX_TYPE_STRING) {
    names.push_back(AttributeName::Image);
    texts.push_back(plain_string(call, argument, "the argument"));
  } else if (call.type(argument) == NIX_TYPE_ATTRS) {
    check_names(call, argument);
    digests = call.attribute(argument, "digests");
    for (const auto &[name, text] : attribute_names)
      if (auto value = call.attribute(argument, text)) {
        names.push_back(name);
        texts.push_back(plain_string(call, value.get(), the_attribute(text)));
      }
  } else {
    fail(wrong_argument(call.type_name(argument)));
  }
  if (!digests)
    fail("the plugin has no build for Nix " + std::string(nix_version_get()) +
         ", and the build that stands in reads only a table that the argument "
         "names: add an attribute such as digests = ./digests.json, or install "
         "the plugin for this Nix");
  std::vector<Attribute> attributes;
  for (size_t i = 0; i < texts.size(); i++)
    attributes.push_back({names[i], bytes(texts[i])});
  auto table = table_of(call, digests.get());
  auto found = look_up(*table, {attributes.data(), attributes.size()});
  if (outcome(*found) != Outcome::Pinned)
    fail(std::string(found->text()));
  return std::string(found->text());
}

// The function that Nix calls.
void oci_hash(void *, nix_c_context *context, EvalState *state,
              nix_value **arguments, nix_value *result) {
  std::string error;
  try {
    Call call(context, state);
    auto text = answer(call, arguments[0]);
    nix_init_string(context, result, text.c_str());
    return;
  } catch (ErrorOfNix &) {
    return;
  } catch (Failure &failure) {
    error = failure.message;
  } catch (std::exception &exception) {
    error = exception.what();
  }
  nix_set_err_msg(context, NIX_ERR_UNKNOWN, (error_prefix + error).c_str());
}

} // namespace

bool interrupted() noexcept { return false; }

void register_oci_hash() noexcept {
  const char *arguments[] = {"argument", nullptr};
  auto *context = nix_c_context_create();
  auto *builtin = nix_alloc_primop(context, oci_hash, 1, "__ociHash", arguments,
                                   documentation, nullptr);
  if (!builtin || nix_register_primop(context, builtin) != NIX_OK)
    oci_hash_warn("the C API of Nix does not take the builtin: %s; "
                  "builtins.ociHash is left out",
                  nix_err_msg(nullptr, context, nullptr));
  nix_c_context_free(context);
}

} // namespace oci_hash
