#pragma once

#include <filesystem>
#include <vector>

#include "core/vm/job_vm.hpp"
#include "core/vm/libvirt/libvirt_handles.hpp"

namespace sarde {

/// Lets a VM that is paused, and has not run, read the files below its own disks from an NBD server
/// (JobVm::disk_server). QEMU asks again for two minutes if the server goes away. Throws NotServed if
/// that cannot be.
void read_from_server(const Domain& domain, const JobVm& vm);

/// Lets a VM for which read_from_server() was called read the same from these files, which are the image's
/// disks in its manifest's order, whole now. The VM goes on meanwhile. Does nothing for a VM that does so
/// already. Throws Error, also for a VM that is still being started; then it can be called again.
void read_from_files(const Domain& domain, const std::vector<std::filesystem::path>& files);

}  // namespace sarde
