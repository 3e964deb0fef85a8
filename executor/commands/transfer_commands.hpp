#pragma once

#include <string>

#include "executor/commands/command_parts.hpp"

namespace sarde {

/// `fetch [--source REF] CONTAINER`: from the registry (under the name `source`, if given) into the cache.
StoredImage fetch_image(const CommandParts& parts, const std::string& container);

/// `push [--target REF] CONTAINER`: from the cache to the registry (under the name `target`, if given).
void push_image(const CommandParts& parts, const std::string& container);

}  // namespace sarde
