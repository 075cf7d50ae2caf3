// A value that the garbage collector must not take.
#pragma once

namespace oci_hash {

// Keeps a value from the garbage collector until it is destroyed.
class Root {
public:
  virtual ~Root() = default;
};

} // namespace oci_hash
