#pragma once

#include <string>

#include "executor/commands/answers.hpp"
#include "executor/commands/command_tools.hpp"

namespace sarde {

struct FetchRequest {
  std::string container;    ///< the image's name on this host
  std::string source = {};  ///< its name at the registry; empty: the same
  bool keep_blobs = true;   ///< whether the layers stay in the cache once the disks are unpacked
};

struct PushRequest {
  std::string container;    ///< an image in the cache
  std::string target = {};  ///< its name at the registry; empty: the same
};

/// The image's name at the registry.
ImageReference source_of(const FetchRequest& request);

/// `fetch [--source REF] CONTAINER`: downloads an image from the registry into the cache.
StoredImage fetch_image(const CommandTools& tools, const FetchRequest& request);

/// Fetches an image and unpacks it at the same time, to this folder in vmdir. If `folder` is empty, `sharing`
/// determines the folder.
ObtainedImage fetch_and_unpack_image(const CommandTools& tools, const FetchRequest& request,
                                     DiskSharing sharing, const std::string& folder = {});

/// Unpacks an image of the cache, as unpack() or unpack_shared() of UnpackedImages do. If the cache has not
/// kept the layers of its disks, they are taken from where they are unpacked already, or fetched.
UnpackedImage unpack_cached_image(const CommandTools& tools, const StoredImage& image, DiskSharing sharing,
                                  const std::string& folder = {});

/// `push [--target REF] CONTAINER`: uploads an image from the cache to the registry. Returns its name there.
NamedImage push_image(const CommandTools& tools, const PushRequest& request);

}  // namespace sarde
