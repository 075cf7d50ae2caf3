#include "settings.h"

namespace oci_hash {

Settings &settings() {
  // Never destroyed: Nix may read its settings until the very end.
  static Settings &instance = *new Settings;
  static nix::GlobalConfig::Register registration(&instance);
  return instance;
}

} // namespace oci_hash
