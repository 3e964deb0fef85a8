#pragma once

#include <string>

#include "executor/commands/command_parts.hpp"

namespace sarde {

/// What the registry calls the image: --source, if given.
ImageReference source_of(const CommandParts& parts, const ImageReference& reference);

/// `fetch [--source REF] CONTAINER`: from the registry (under the name `source`, if given) into the cache.
StoredImage fetch_image(const CommandParts& parts, const std::string& container);

/// Fetches and unpacks at once, to the folder that --name says, else to the one that fits the use.
ObtainedImage fetch_and_unpack_image(const CommandParts& parts, const std::string& container,
                                     DiskSharing sharing);

/// `push [--target REF] CONTAINER`: from the cache to the registry (under the name `target`, if given).
void push_image(const CommandParts& parts, const std::string& container);

}  // namespace sarde
