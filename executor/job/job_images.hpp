#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/foundation/reporter.hpp"
#include "core/image/store/image_store.hpp"
#include "core/job/job.hpp"
#include "core/job/job_record.hpp"
#include "executor/job/credential_chain.hpp"
#include "executor/job/image_choice.hpp"
#include "executor/job/lazy_images.hpp"
#include "executor/job/metrics.hpp"
#include "executor/job/phases.hpp"

namespace sarde {

/// Provides a job's image with its disks unpacked, if the job may use it. An image whose domain requests more
/// than a job's VM may have is refused before a disk is unpacked.
class JobImages {
 public:
  struct Parts {
    const ImageStore& images;
    Registry& registry;
    Metrics& metrics;
    const Clock& clock;
    Reporter& reporter;
    std::vector<std::string> allowed_devices = {};  ///< allow-devices
    /// makes an image of a VM of this host, or finds the one that was made, in the cache
    std::function<ImageReference(const std::string& vm, const ImageReference& repository)> image_of_vm = {};
    bool keep_blobs = false;  ///< whether the layers of the disks stay in the cache, too
    /// how long the registry's answer about an image is good for other jobs; nothing: each job asks
    std::optional<std::chrono::milliseconds> manifest_ttl = {};
    std::optional<LazyImages> lazy = {};  ///< nothing: VMs start when their images are there
  };

  explicit JobImages(Parts parts) : parts_(std::move(parts)) {}

  /// Gets the image from the cache or from the registry, by the first pull policy of the choice that yields
  /// it. Records the image in the job's folder before its disks are used. `before_fetch` is called before
  /// anything is fetched, at the latest when the registry has been asked for the manifest, and may throw.
  /// Blocks until done. Throws Error, Cancelled.
  ObtainedImage obtain(const ImageChoice& choice, const Job& job, const JobFolder& folder,
                       const std::function<void()>& before_fetch);

  /// What obtain() has given, when its disks are whole. Blocks until then. Throws Error, Cancelled.
  ObtainedImage wait_for_all_of(ObtainedImage image);

 private:
  ObtainedImage obtain_by(const std::string& policy, const ImageReference& reference, const Job& job,
                          const JobFolder& folder, const std::function<void()>& before_fetch);
  ObtainedImage from_cache(const ImageReference& reference, const std::string& policy, const Job& job,
                           const JobFolder& folder);
  ObtainedImage from_registry(const ImageReference& reference, const ChosenAccess& chosen,
                              const JobFolder& folder);
  ObtainedImage fetch(const ObtainRequest& request, const RegistryAccess& access);
  [[nodiscard]] bool lacks_disks(const ImageReference& reference) const;
  void check_access(const StoredImage& image, const std::string& policy, const Job& job,
                    const JobFolder& folder);
  void say_unpacked(const UnpackedImage& unpacked, const Phase& phase);

  Parts parts_;
};

}  // namespace sarde
