#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/foundation/reporter.hpp"
#include "core/image/store/image_store.hpp"
#include "executor/job/disk_server.hpp"

namespace sarde {

/// Whether a VM is started before its image is there (option `lazy`).
enum class Laziness { off, automatic, always };

/// Images whose disks come while the VMs that use them run.
class LazyImages {
 public:
  struct Parts {
    Laziness when = Laziness::off;
    const ImageStore& images;
    ServingOrder order;  ///< but for what is the image's own
    EnvironmentList environment;
    Clock& clock;
    Cancellation& cancellation;
    Reporter& reporter;
  };

  explicit LazyImages(Parts parts) : parts_(std::move(parts)) {}

  [[nodiscard]] Laziness when() const { return parts_.when; }

  /// Obtains the announced image with a server for its disks: one that there is already, else its own if
  /// `may_start`. Nothing if the disks are there, packed or unpacked, or cannot be had like this. Blocks
  /// until what QEMU needs to start is there, or while another process unpacks the image. Throws Error,
  /// Cancelled.
  std::optional<ObtainedImage> obtain(const ObtainRequest& request, bool may_start, Registry& registry,
                                      const RegistryAccess& access);

  /// Whether all layers of an image that is served are there: its server only waits to be let go.
  [[nodiscard]] static bool has_come(const ObtainedImage& image);

  /// The same image when its server is done: its disks are whole. Blocks until then, and lets go of the
  /// server. Throws Error, Cancelled.
  ObtainedImage wait_for_all_of(ObtainedImage image);

 private:
  [[nodiscard]] ObtainedImage served(StoredImage image, std::shared_ptr<const UniqueFd> hold) const;
  std::optional<ObtainedImage> start(const ObtainRequest& request, const FileLock& lock, Registry& registry,
                                     const RegistryAccess& access);

  Parts parts_;
};

/// Whether a transfer will take so long that it is better to start the VM meanwhile: so it seems when it has
/// gone on for a moment.
class TransferEstimate {
 public:
  explicit TransferEstimate(const Clock& clock) : clock_(clock) {}

  /// To be told of the transfer's progress, in bytes. True once, if it is going to be long.
  bool is_long(std::uint64_t done, std::uint64_t total);

 private:
  const Clock& clock_;
  std::optional<TimePoint> start_;
  std::uint64_t at_start_ = 0;
  bool is_decided_ = false;
};

}  // namespace sarde
