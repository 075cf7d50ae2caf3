// The plugin's settings, as Nix has read them from nix.conf, NIX_CONFIG and
// --option.
#pragma once

#include "compat.h"

namespace oci_hash {

struct Settings : nix::Config {
  nix::Setting<std::string> digests{this, "", "oci-hash-digests",
                                    R"(
        The path of a `digests.json` that `builtins.ociHash` looks in instead of
        the table that the plugin was built with.

        Pure evaluation, that of flakes among it, does not read this setting: its
        answers depend on nothing but the expression and the plugin.
      )"};

  nix::Setting<bool> resolve{this, false, "oci-hash-resolve",
                             R"(
        Whether `builtins.ociHash` asks the registry for what is not in the
        table. It is never asked in pure evaluation or with `--offline`, and with
        `restrict-eval` only where `allowed-uris` allows its URL. Answers are
        kept for `tarball-ttl` seconds.
      )"};

  nix::Setting<nix::Strings> registries{this,
                                        {},
                                        "oci-hash-registries",
                                        R"(
        The only registries that `oci-hash-resolve` may ask, such as
        `docker.io ghcr.io`. If empty, it may ask any.
      )"};

  nix::Setting<unsigned int> timeout{
      this, 15, "oci-hash-timeout",
      "How many seconds, from 1 to 3600, `oci-hash-resolve` may take for one "
      "reference."};
};

// The settings of this process. Made, and shown to Nix, by the first call.
Settings &settings();

} // namespace oci_hash
