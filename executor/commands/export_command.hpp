#pragma once

#include <string>

#include "executor/commands/command_parts.hpp"

namespace sarde {

/// `export NAME [CONTAINER]`: a VM becomes an image in the cache (with --raw, a layout in the folder
/// CONTAINER). The VM's files are only read. Returns the image's name.
std::string export_image(const CommandParts& parts, const std::string& vm, const std::string& container);

}  // namespace sarde
