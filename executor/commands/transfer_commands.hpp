#pragma once

#include <string>

#include "executor/commands/command_tools.hpp"

namespace sarde {

struct FetchRequest {
  std::string container;    ///< what the image is called here
  std::string source = {};  ///< and at the registry; empty: the same
};

struct PushRequest {
  std::string container;    ///< an image in the cache
  std::string target = {};  ///< what the registry is to call it; empty: the same
};

/// What the registry calls the image.
ImageReference source_of(const FetchRequest& request);

/// `fetch [--source REF] CONTAINER`: from the registry into the cache.
StoredImage fetch_image(const CommandTools& tools, const FetchRequest& request);

/// Fetches and unpacks at once, to this folder in vmdir, or to the one that fits the use if it is empty.
ObtainedImage fetch_and_unpack_image(const CommandTools& tools, const FetchRequest& request,
                                     DiskSharing sharing, const std::string& folder = {});

/// `push [--target REF] CONTAINER`: from the cache to the registry.
void push_image(const CommandTools& tools, const PushRequest& request);

}  // namespace sarde
