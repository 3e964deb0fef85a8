#pragma once

#include <cstdint>

namespace sarde {

/// The memory and processors of this machine.
struct HostSize {
  std::uint64_t memory_mib = 0;
  unsigned processors = 1;
};

HostSize host_size();

}  // namespace sarde
