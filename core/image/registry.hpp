#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "core/image/image_reference.hpp"
#include "core/image/oci_layout.hpp"

namespace sarde {

/// How to reach registries for one piece of work.
struct RegistryAccess {
  std::optional<std::filesystem::path> authfile = std::nullopt;  ///< none: skopeo's own places
  std::function<void(std::chrono::milliseconds)> heartbeat =
      {};  ///< called now and then with the time since the start
};

/// Where images come from and go to. Both calls block until done or the deadline they were made with.
class Registry {
 public:
  Registry() = default;
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;
  virtual ~Registry() = default;

  /// Brings the blobs that the layout lacks and returns the manifest's descriptor; the caller gives it its
  /// tag. Throws Error: the job's fault when the registry answers that it has no such image or refuses the
  /// credentials.
  virtual Descriptor fetch(const ImageReference& from, const OciLayout& into,
                           const RegistryAccess& access) = 0;

  /// Sends the manifest and the blobs that the registry lacks. Throws Error as fetch does.
  virtual void push(const OciLayout& from, const Descriptor& manifest, const ImageReference& to,
                    const RegistryAccess& access) = 0;
};

}  // namespace sarde
