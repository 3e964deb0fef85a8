#pragma once

#include <string>

#include "executor/commands/removal_outcome.hpp"

namespace sarde {

/// `rm CONTAINER`: removes the image's name and the blobs that no other image needs. If it was the image's
/// last name, also removes its unpacked disks and the VM that `import` defined on them. Throws Error (the
/// caller's fault) while a VM or a job uses the image. Returns the names that were removed.
std::string remove_image(const CommandTools& tools, const RemovalRequest& request,
                         const std::string& container);

}  // namespace sarde
