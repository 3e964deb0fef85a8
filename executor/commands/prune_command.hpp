#pragma once

#include <string>

#include "executor/commands/command_parts.hpp"

namespace sarde {

/// `rm REF`: removes the image's name, its blobs that no other image needs, and, where it was its last name,
/// its unpacked disks with the VM that `import` defined on them. Refuses (the job's fault) while a VM or job
/// uses it. Returns what was removed.
std::string remove_image(const CommandParts& parts, const std::string& container);

/// `prune`: removes unreferenced blobs, images unused for `older-than`, then those unused for longest until
/// all fits `budget`; never an image that a VM or job uses. Returns the names of what was removed.
std::string prune_images(const CommandParts& parts);

}  // namespace sarde
