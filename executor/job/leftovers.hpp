#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/foundation/reporter.hpp"
#include "core/foundation/source.hpp"
#include "core/system/clock.hpp"
#include "core/vm/machines.hpp"

namespace sarde {

/// What a job left that nobody will clean up any more.
struct Leftover {
  std::string name;    ///< of the VM, and of the folder in jobsdir
  std::string why;     ///< "its time is over", "its runner is gone", …
  bool is_vm = false;  ///< found by the VM's own metadata, not by the folder
};

/// Jobs that are over without a `cleanup`: the runner's process has ended, or has thrown the job's
/// JOB_RESPONSE_FILE away; `prepare` was killed before it was done; the VM's expiry has passed, or its folder
/// is gone (both are in its own metadata); or, where the runner is not known, the VM is gone. Never a VM that
/// is defined, has no name of ours or says another folder than it would have in `jobsdir`, nor one whose job
/// may still run. Throws Error if libvirt cannot be asked.
std::vector<Leftover> find_leftovers(Machines& machines, const std::filesystem::path& jobsdir,
                                     const Clock& clock);

/// Destroys the VM and removes the folder; nothing if somebody has begun to work on it since. Throws Error.
void remove_leftover(const Leftover& leftover, Machines& machines, const std::filesystem::path& jobsdir,
                     const Clock& clock);

/// Both, for all that there are; each is said. Whatever goes wrong is a detail: it is no fault of the job at
/// hand. Throws Cancelled.
void discard_leftovers(const Source<Machines>& machines, const std::filesystem::path& jobsdir,
                       const Clock& clock, Reporter& reporter);

}  // namespace sarde
