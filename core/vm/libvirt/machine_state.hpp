#pragma once

#include <filesystem>
#include <string>

#include "core/vm/libvirt/libvirt_handles.hpp"

namespace sarde {

// The state of a machine (memory, processors, devices) goes out of QEMU and into it as in a migration to or
// from a file that is open here (QEMU, docs/interop/qmp: getfd, migrate, migrate-incoming). libvirt has no
// part in it: its own restore wants the VM's old name, UUID and files. Both block until all is done, and
// throw Error.

/// Writes the state of a domain that stands still to a new file. It still stands then.
void save_state(const Domain& domain, const std::filesystem::path& file, const std::string& doing);

/// Gives the state to a domain that was started with `-incoming defer`. It stands still then.
void load_state(const Domain& domain, const std::filesystem::path& file, const std::string& doing);

}  // namespace sarde
