#pragma once

#include <string>
#include <vector>

#include "core/foundation/reporter.hpp"
#include "core/image/store/image_store.hpp"
#include "core/job/job.hpp"
#include "core/job/job_record.hpp"
#include "executor/job/credential_chain.hpp"
#include "executor/job/image_choice.hpp"
#include "executor/job/phases.hpp"

namespace sarde {

/// Gets a job the image that it may have, with its disks unpacked. An image whose domain asks for more than
/// job VMs may use is refused before a disk is unpacked.
class JobImages {
 public:
  struct Parts {
    const ImageStore& images;
    Registry& registry;
    const Clock& clock;
    Reporter& reporter;
    std::vector<std::string> allowed_devices = {};  ///< allow-devices
  };

  explicit JobImages(Parts parts) : parts_(std::move(parts)) {}

  /// From the cache or from the registry, as the choice says. The image is noted in the job's folder before
  /// its disks are used. Blocks until done. Throws Error, Cancelled.
  ObtainedImage obtain(const ImageChoice& choice, const Job& job, const JobFolder& folder);

 private:
  ObtainedImage from_cache(const ImageChoice& choice, const Job& job, const JobFolder& folder);
  ObtainedImage from_registry(const ImageReference& reference, const ChosenAccess& chosen,
                              const JobFolder& folder);
  void check_access(const StoredImage& image, const ImageChoice& choice, const Job& job,
                    const JobFolder& folder);
  void say_unpacked(const UnpackedImage& unpacked, const Phase& phase);

  Parts parts_;
};

}  // namespace sarde
