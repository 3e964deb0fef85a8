#pragma once

#include <cstdint>

namespace sarde {

/// What this machine has.
struct HostSize {
  std::uint64_t memory_mib = 0;
  unsigned processors = 1;
};

HostSize host_size();

}  // namespace sarde
