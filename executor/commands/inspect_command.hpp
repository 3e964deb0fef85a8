#pragma once

#include <string>

#include "executor/commands/command_parts.hpp"

namespace sarde {

/// `getconfig`: the image's vm config as it is, indented; empty if it has none.
std::string config_of_image(const CommandParts& parts, const std::string& container);

/// `inspect`: what an image consists of: layers, disks, backing chain, login, ports. From the cache, else (or
/// with --remote) from the registry, without bringing the disks.
std::string inspect_image(const CommandParts& parts, const std::string& container);

}  // namespace sarde
