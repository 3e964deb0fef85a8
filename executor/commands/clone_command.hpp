#pragma once

#include <string>

#include "executor/commands/command_parts.hpp"

namespace sarde {

/// `clone SOURCE TARGET`: defines a VM, not started, whose disks are thin copies: of a VM's that is shut
/// down, if there is one called SOURCE, else of an image's, fetched if it is not in the cache. Returns the
/// new VM's name, or with --print-uuid its UUID.
std::string clone_vm(const CommandParts& parts, const std::string& source, const std::string& target);

}  // namespace sarde
