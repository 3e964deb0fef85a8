#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "core/foundation/error.hpp"
#include "core/foundation/secret.hpp"
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
};

/// What a registry says about an image before any of it is fetched. All further requests name this digest,
/// because a tag may move in the meantime.
struct AnnouncedImage {
  Digest digest;  ///< of the manifest; of several platforms' the one for this host
  Manifest manifest;
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

  /// Fetches the blobs that the layout lacks, each of which appears there complete, and returns the
  /// descriptor of the announced manifest; the caller tags it. A registry that sends more than the manifest
  /// says is cut off (the job's fault). `known` is what the layout has under this name: if it is the
  /// announced manifest and all of its blobs are present, nothing is fetched. May be called in another thread
  /// than the other functions.
  virtual Descriptor fetch(const ImageReference& from, const AnnouncedImage& announced, const OciLayout& into,
                           const std::optional<Descriptor>& known, const RegistryAccess& access) = 0;

  /// Like fetch(), but the disks' blobs are only empty files of the right size, which is enough to see what
  /// an image consists of. Throw `into` away afterwards.
  virtual Descriptor fetch_description(const ImageReference& from, const AnnouncedImage& announced,
                                       const OciLayout& into, const RegistryAccess& access) = 0;

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
