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

/// The registry wants other credentials.
class AccessDenied : public Error {
 public:
  explicit AccessDenied(const std::string& message) : Error(Blame::job, message) {}
};

/// How to reach registries for one piece of work.
struct RegistryAccess {
  /// Credentials of one job, which others do not have; none: this machine's, as the registry was made.
  std::optional<std::filesystem::path> authfile = std::nullopt;
  /// Called now and then with the bytes that have travelled, and those that will in all (0: not known).
  std::function<void(std::uint64_t done, std::uint64_t total)> progress = {};
};

/// What a registry says of an image before any of it is brought. From then on it is asked for by this digest:
/// a tag may move in between.
struct AnnouncedImage {
  Digest digest;  ///< of the manifest; of several platforms' the one for this host
  Manifest manifest;
};

/// Where images come from and go to. Every call blocks until done or the deadline it was made with, and
/// throws Error: the job's fault when the registry answers that it has no such image or refuses the
/// credentials.
class Registry {
 public:
  Registry() = default;
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;
  virtual ~Registry() = default;

  /// Asks for the manifest; of an index of several platforms the one for Linux on this host's processor.
  /// Throws Error also if it is no VM's, or there is none for this host.
  virtual AnnouncedImage announce(const ImageReference& from, const RegistryAccess& access) = 0;

  /// Brings the blobs that the layout lacks, each of which appears there whole, and returns the announced
  /// manifest's descriptor; the caller gives it its tag. What sends more than the manifest says is stopped,
  /// the job's fault. `known` is what the layout has under that name: if it is the one announced and all of
  /// it is there, nothing is brought. May be called in another thread than the rest.
  virtual Descriptor fetch(const ImageReference& from, const AnnouncedImage& announced, const OciLayout& into,
                           const std::optional<Descriptor>& known, const RegistryAccess& access) = 0;

  /// As fetch(), but of disks' blobs there will only be empty files of the right size: for looking at what an
  /// image consists of. `into` is to be thrown away afterwards.
  virtual Descriptor fetch_description(const ImageReference& from, const AnnouncedImage& announced,
                                       const OciLayout& into, const RegistryAccess& access) = 0;

  /// Sends the manifest and the blobs that the registry lacks.
  virtual void push(const OciLayout& from, const Descriptor& manifest, const ImageReference& to,
                    const RegistryAccess& access) = 0;

  /// Tries the credentials and keeps them in the auth file, for the calls above and for others (skopeo,
  /// podman).
  virtual void login(const std::string& registry, const std::string& username, const Secret& password) = 0;

  /// Forgets the credentials for a registry, or with "*" all. Throws Error if there are none.
  virtual void logout(const std::string& registry) = 0;
};

}  // namespace sarde
