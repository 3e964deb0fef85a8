#pragma once

#include <string>

#include "executor/commands/command_parts.hpp"

namespace sarde {

/// `gc`: removes what jobs left whose `cleanup` never came (find_leftovers), and temporary files whose makers
/// were killed. Returns the names of the VMs and folders removed.
std::string collect_garbage(const CommandParts& parts);

}  // namespace sarde
