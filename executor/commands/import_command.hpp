#pragma once

#include <string>

#include "executor/commands/command_parts.hpp"

namespace sarde {

/// `import`: unpacks an image of the cache (with --raw, of a layout's folder) and defines the VM, which is
/// not started. Returns its name, or with --print-uuid its UUID.
std::string import_image(const CommandParts& parts, const std::string& container);

/// `pull`: fetches and imports.
std::string pull_image(const CommandParts& parts, const std::string& container);

}  // namespace sarde
