#include "settings.h"

namespace oci_hash {

Settings &settings() {
  // Never destroyed: Nix may read its settings until the very end.
  static Settings &instance = [&]() -> Settings & {
    auto &made = *new Settings;
    register_settings(made);
    return made;
  }();
  return instance;
}

} // namespace oci_hash
