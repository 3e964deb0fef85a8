#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/foundation/error.hpp"
#include "core/foundation/secret.hpp"
#include "core/image/layout/blob_source.hpp"
#include "core/image/layout/oci_layout.hpp"
#include "core/image/reference/image_reference.hpp"

namespace sarde {

/// The registry requires other credentials.
class AccessDenied : public Error {
 public:
  explicit AccessDenied(const std::string& message) : Error(Blame::job, message) {}
};

/// How to access registries for one task.
struct RegistryAccess {
  /// The credentials of one job, which other jobs do not have. None: this machine's own.
  std::optional<std::filesystem::path> authfile = std::nullopt;
  /// Called from time to time with the bytes transferred so far, and the bytes in total (0: not known).
  std::function<void(std::uint64_t done, std::uint64_t total)> progress = {};
  bool limits_each_blob = false;  ///< the time limit is for each blob that is read, not for all of them
};

/// What a registry says about an image before any of it is fetched. All further requests name this digest,
/// because a tag may move in the meantime.
struct AnnouncedImage {
  Digest digest;  ///< of the manifest; of several platforms' the one for this host
  Manifest manifest;
  std::string text;  ///< the manifest as the registry has it

  /// As a layout's index names it.
  [[nodiscard]] Descriptor descriptor() const {
    return {.media_type = std::string(media_type::manifest), .digest = digest, .size = text.size()};
  }
};

/// A place to fetch images from and push them to. Every call blocks until it has finished or its deadline has
/// passed. It throws Error: the job's fault if the registry answers that it does not have the image or
/// refuses the credentials, otherwise the host's.
class Registry {
 public:
  Registry() = default;
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;
  virtual ~Registry() = default;

  /// Asks for the manifest. If the registry has an index of several platforms, the manifest for Linux on this
  /// host's processor is chosen. Also throws Error if it is not a VM image's, or if none is for this host.
  virtual AnnouncedImage announce(const ImageReference& from, const RegistryAccess& access) = 0;

  /// Opens the announced image's blobs for reading as they come. `expected`: those that will be read, in
  /// their order. A registry that can give them only all together puts them into the layout, and reads them
  /// there. Where there are signatures to check, they are checked before this returns. What it gives must not
  /// outlive this registry.
  virtual std::unique_ptr<BlobSource> open(const ImageReference& from, const AnnouncedImage& announced,
                                           const std::vector<Descriptor>& expected, const OciLayout& into,
                                           const RegistryAccess& access) = 0;

  /// Whether open() gives blobs one by one. It is known once announce() has been called.
  [[nodiscard]] virtual bool gives_single_blobs() const { return true; }

  /// Uploads the manifest and the blobs that the registry lacks.
  virtual void push(const OciLayout& from, const Descriptor& manifest, const ImageReference& to,
                    const RegistryAccess& access) = 0;

  /// Tries the credentials and stores them in the auth file, where the functions above and other programs
  /// (skopeo, podman) find them.
  virtual void login(const std::string& registry, const std::string& username, const Secret& password) = 0;

  /// Removes the credentials for a registry, or all of them for "*". Throws Error if there are none.
  virtual void logout(const std::string& registry) = 0;
};

}  // namespace sarde
