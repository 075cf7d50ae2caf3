#include "tables.h"

#include "settings.h"

#include <memory>
#include <utility>

namespace oci_hash {
namespace {

// Calls one of Nix's builtins. These obey pure and restricted evaluation, and
// build the context of a string. Their errors are about the table, and become
// errors that say so.
nix::Value &try_builtin(nix::EvalState &state, Position pos,
                        const char *builtin, nix::Value &value,
                        const std::string &what, const std::string &remedy) {
  try {
    return call_builtin(state, pos, builtin, value);
  } catch (nix::AssertionError &) {
    throw;
  } catch (nix::Abort &) {
    throw;
  } catch (nix::Error &error) {
    fail(state, pos, cannot_be_read(what, message_of(error), remedy));
  }
}

// The table of the file at `path`. `value` returns the path as a value of Nix.
// The file is read again only if it has changed.
template <typename F>
rust::Box<Table>
table_of_path(nix::EvalState &state, Position pos, std::string_view path,
              F value, const std::string &what, const std::string &remedy) {
  auto exists = [&]() {
    return is_true(
        try_builtin(state, pos, "pathExists", value(), what, remedy));
  };
  auto read = [&]() {
    return bytes(
        text_of(try_builtin(state, pos, "readFile", value(), what, remedy)));
  };
  // Nix resolves `..` before symbolic links, the system after them.
  if (path.find("/..") != std::string_view::npos)
    return table_of_text(bytes(path), read());
  // Without its context, a string builds nothing: it is allowed if it was
  // built.
  auto is_built = [&]() {
    auto &text = new_value(state);
    make_string(state, text, std::string(path));
    return is_true(try_builtin(state, pos, "pathExists", text, what, remedy));
  };
  // Restricted evaluation may not read every file. The error of readFile says
  // why.
  bool restricted = is_restricted(state);
  if (restricted && !is_built() && !exists())
    return table_of_text(bytes(path), read());
  auto file = table_file(bytes(path), is_in_store(state, path), restricted);
  if (file->is_read())
    return table_of_file(*file);
  // pathExists also builds the derivations in the context of the path.
  if (restricted || exists())
    file->open_if_large();
  if (!file->is_read())
    file->set_text(read());
  return table_of_file(*file);
}

struct ValueRoot : Root {
  nix::RootValue value;
  explicit ValueRoot(nix::RootValue value) : value(std::move(value)) {}
};

// The table of a parsed set. Its cache key is the address of the attributes.
rust::Box<Table> table_of_attributes(nix::EvalState &state, Position pos,
                                     nix::Value &set,
                                     const std::string &remedy) {
  auto parsed = table_set(reinterpret_cast<size_t>(attributes_of(set)));
  if (parsed->is_read())
    return table_of_set(*parsed);
  // What the user's own expressions throw is thrown here, unchanged.
  state.forceValueDeep(set);
  auto &json = try_builtin(state, pos, "toJSON", set, the_digests, remedy);
  set_json(*parsed, bytes(text_of(json)),
           std::make_unique<ValueRoot>(root_of(state, set)));
  return table_of_set(*parsed);
}

} // namespace

rust::Box<Table> table_of(nix::EvalState &state, Position pos,
                          nix::Value &digests) {
  static const std::string what = the_digests;
  static const std::string remedy =
      remedy_of_digests(", or leave 'digests' out for the built-in table");
  // A derivation or a flake input stands for its path, as everywhere in Nix.
  auto *path = &digests;
  state.forceValue(*path, pos);
  for (int depth = 0; depth < deepest_path && is_set(*path); depth++) {
    auto *inner = attribute(state, *path, "outPath");
    if (!inner && depth == 0)
      return table_of_attributes(state, pos, digests, remedy);
    if (!inner)
      break;
    path = inner;
    state.forceValue(*path, pos);
  }
  auto value = [&]() -> nix::Value & { return *path; };
  if (is_path(*path))
    return table_of_path(state, pos, path_of(*path), value, what, remedy);
  if (is_string(*path))
    return table_of_path(state, pos, text_of(*path), value, what, remedy);
  fail(state, pos, not_a_table(path != &digests, type_of(*path)));
}

rust::Box<Table> default_table(nix::EvalState &state, Position pos) {
  const std::string &path = settings().digests.get();
  if (path.empty() || is_pure(state))
    return built_in();
  static const std::string what = "the file of the setting 'oci-hash-digests'";
  static const std::string remedy =
      "write the absolute path of a digests.json into nix.conf, or take the "
      "setting out for the built-in table";
  auto value = [&]() -> nix::Value & {
    auto &text = new_value(state);
    make_string(state, text, path);
    return text;
  };
  return table_of_path(state, pos, path, value, what, remedy);
}

} // namespace oci_hash
