#pragma once

#include <string>

#include "executor/commands/removal_outcome.hpp"

namespace sarde {

/// `rm REF`: removes the image's name, its blobs that no other image needs, and, where it was its last name,
/// its unpacked disks with the VM that `import` defined on them. Refuses (the job's fault) while a VM or job
/// uses it. Returns what was removed.
std::string remove_image(const CommandTools& tools, const RemovalRequest& request,
                         const std::string& container);

}  // namespace sarde
