#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/foundation/reporter.hpp"
#include "core/foundation/source.hpp"
#include "core/system/clock.hpp"
#include "core/vm/machines.hpp"

namespace sarde {

/// Something that a job left behind and that no `cleanup` will remove any more.
struct Leftover {
  std::string name;    ///< of the VM, and of the folder in jobsdir
  std::string why;     ///< "its time is over", "its runner is gone", …
  bool is_vm = false;  ///< found by the VM's own metadata, not by the folder
};

/// Finds jobs that are over but whose `cleanup` did not run: the runner's process has ended or has removed
/// the job's JOB_RESPONSE_FILE; `prepare` was killed before it was done; the VM has expired, or its folder is
/// gone (both are in its metadata); or the runner is not known and the VM is gone. Never returns a VM whose
/// definition libvirt keeps, whose name does not have this program's form, whose metadata names a folder
/// other than the one that it would have in `jobsdir`, or whose job may still be running. Throws Error if
/// libvirt cannot be asked.
std::vector<Leftover> find_leftovers(Machines& machines, const std::filesystem::path& jobsdir,
                                     const Clock& clock);

/// Destroys the VM and removes the folder, unless another process has started to use it since. Throws Error.
void remove_leftover(const Leftover& leftover, Machines& machines, const std::filesystem::path& jobsdir,
                     const Clock& clock);

/// Finds and removes all leftovers, and reports each of them. Errors are shown as details only, because the
/// current job is not responsible for them. Throws Cancelled.
void discard_leftovers(const Source<Machines>& machines, const std::filesystem::path& jobsdir,
                       const Clock& clock, Reporter& reporter);

}  // namespace sarde
