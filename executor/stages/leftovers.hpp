#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/system/clock.hpp"
#include "core/vm/hypervisor.hpp"

namespace sarde {

/// What a job left that nobody will clean up any more.
struct Leftover {
  std::string name;  ///< of the VM, and of the folder in jobsdir
  std::string why;   ///< "its time is over", "its VM is gone", "its prepare was killed"
  bool has_vm = false;
};

/// Jobs that are over without a `cleanup`: a VM whose expiry (in its own metadata) has passed; a folder whose
/// VM is gone, or whose `prepare` was killed before it was done. Never a VM without our metadata, nor one
/// whose job may still run. Throws Error if libvirt cannot be asked.
std::vector<Leftover> find_leftovers(Hypervisor& hypervisor, const std::filesystem::path& jobsdir,
                                     const Clock& clock);

/// Destroys the VM and removes the folder; nothing if somebody has begun to work on it since. Throws Error.
void remove_leftover(const Leftover& leftover, Hypervisor& hypervisor, const std::filesystem::path& jobsdir);

}  // namespace sarde
