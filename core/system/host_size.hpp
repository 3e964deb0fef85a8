#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sarde {

/// The memory and processors of this machine.
struct HostSize {
  std::uint64_t memory_mib = 0;
  unsigned processors = 1;
};

HostSize host_size();

/// How the memory of this machine is used.
struct HostMemory {
  std::uint64_t total_mib = 0;
  std::uint64_t available_mib = 0;  ///< without swapping: MemAvailable of proc(5)'s /proc/meminfo
  std::uint64_t of_vms_mib = 0;     ///< that the QEMU processes of the VMs asked about have now
};

/// `vms`: libvirt's names of domains. Reads the command line of every process.
HostMemory host_memory(const std::vector<std::string>& vms);

}  // namespace sarde
