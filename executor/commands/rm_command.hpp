#pragma once

#include <string>

#include "executor/commands/removal_outcome.hpp"

namespace sarde {

/// `rm CONTAINER…`: removes each image's name and the blobs that no other image needs. If it was the image's
/// last name, also removes its unpacked disks and the VM that `import` defined on them. Throws Error (the
/// caller's fault) while a VM or a job uses the image; of several images, the others are removed. Returns the
/// names that were removed.
std::string remove_images(const CommandTools& tools, const RemovalRequest& request,
                          const std::vector<std::string>& containers);

}  // namespace sarde
