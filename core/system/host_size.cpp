#include "core/system/host_size.hpp"

#include <algorithm>
#include <unistd.h>

namespace sarde {

HostSize host_size() {
  const auto pages = static_cast<std::uint64_t>(std::max(0L, ::sysconf(_SC_PHYS_PAGES)));
  const auto page = static_cast<std::uint64_t>(std::max(0L, ::sysconf(_SC_PAGESIZE)));
  return {.memory_mib = pages * page >> 20U,
          .processors = static_cast<unsigned>(std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN)))};
}

}  // namespace sarde
