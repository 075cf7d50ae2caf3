#include "tables.h"

#include "settings.h"

#include <deque>
#include <mutex>

namespace oci_hash {
namespace {

// An evaluation, where Rust has to tell one from another.
size_t id_of(const nix::EvalState &state) {
  return reinterpret_cast<size_t>(&state);
}

// Calls one of Nix's builtins, which keep to pure and restricted evaluation and
// build what a string's context names. What they throw is about the table, and
// becomes an error that says so.
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
    throw_error(state, pos,
                "builtins.ociHash: " + what + " cannot be read: " +
                    std::string(one_line(bytes(message_of(error)))) + "; " +
                    remedy);
  }
}

// The table of the file at `path`, which `value` makes. Read again within an
// evaluation only where the file has changed: an evaluation looks up many
// images in one table.
template <typename F>
rust::Box<Shared>
table_of_file(nix::EvalState &state, Position pos, std::string_view path,
              F value, const std::string &what, const std::string &remedy) {
  auto slot = find_file(id_of(state), is_pure(state), bytes(path));
  if (slot->is_filled())
    return slot->table();
  nix::Value &file = value();
  // Whether this evaluation may read it; if not, reading it says why.
  if (is_true(try_builtin(state, pos, "pathExists", file, what, remedy)))
    slot->open_if_large();
  if (!slot->is_filled())
    slot->fill(bytes(
        text_of(try_builtin(state, pos, "readFile", file, what, remedy))));
  return slot->table();
}

// Parsed sets are told apart by the attributes they share, which are kept
// from the garbage collector so that no other set takes their place.
struct ParsedSet {
  const nix::Bindings *attributes;
  nix::RootValue keep;
  rust::Box<Shared> table;
};

constexpr size_t most_parsed_sets = 8;

// Sets within sets that stand for a path.
constexpr int deepest_path = 32;

rust::Box<Shared> table_of_set(nix::EvalState &state, Position pos,
                               nix::Value &set, const std::string &remedy) {
  // Never destroyed: the collector may be gone by then.
  static std::mutex &mutex = *new std::mutex;
  static std::deque<ParsedSet> &known = *new std::deque<ParsedSet>;
  auto attributes = attributes_of(set);
  {
    std::lock_guard<std::mutex> lock(mutex);
    for (const auto &parsed : known)
      if (parsed.attributes == attributes)
        return parsed.table->share();
  }
  // What the user's own expressions throw is thrown here, as it is.
  state.forceValueDeep(set);
  auto table = parse_set(bytes(text_of(try_builtin(
      state, pos, "toJSON", set, "the attribute 'digests'", remedy))));
  auto *copy = state.allocValue();
  *copy = set;
  auto keep = nix::allocRootValue(copy);
  std::lock_guard<std::mutex> lock(mutex);
  if (known.size() == most_parsed_sets)
    known.pop_front();
  known.push_back({attributes, keep, table->share()});
  return table;
}

} // namespace

rust::Slice<const uint8_t> bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t *>(text.data()), text.size()};
}

rust::Box<Shared> table_of(nix::EvalState &state, Position pos,
                           nix::Value &digests) {
  static const std::string what = "the attribute 'digests'";
  static const std::string remedy =
      "write the path of a digests.json or the set that builtins.fromJSON "
      "makes of it, or leave 'digests' out for the built-in table";
  // A derivation or a flake input stands for its path, as everywhere in Nix.
  auto *path = &digests;
  state.forceValue(*path, pos);
  for (int depth = 0; depth < deepest_path && path->type() == nix::nAttrs;
       depth++) {
    auto *inner = attribute(state, *path, "outPath");
    if (!inner && depth == 0)
      return table_of_set(state, pos, digests, remedy);
    if (!inner)
      break;
    path = inner;
    state.forceValue(*path, pos);
  }
  auto value = [&]() -> nix::Value & { return *path; };
  if (path->type() == nix::nPath)
    return table_of_file(state, pos, path_of(*path), value, what, remedy);
  if (path->type() == nix::nString)
    return table_of_file(state, pos, text_of(*path), value, what, remedy);
  throw_error(state, pos,
              "builtins.ociHash: " + what +
                  (path == &digests ? " is " : " has an outPath that is ") +
                  type_of(*path) +
                  "; write the path of a digests.json, or its parsed set");
}

rust::Box<Shared> default_table(nix::EvalState &state, Position pos) {
  const std::string &path = settings().digests.get();
  if (path.empty() || is_pure(state))
    return built_in();
  static const std::string what = "the file of the setting 'oci-hash-digests'";
  static const std::string remedy =
      "write the absolute path of a digests.json into nix.conf, or take the "
      "setting out for the built-in table";
  auto value = [&]() -> nix::Value & {
    auto &text = *state.allocValue();
    make_string(state, text, path);
    return text;
  };
  return table_of_file(state, pos, path, value, what, remedy);
}

} // namespace oci_hash
