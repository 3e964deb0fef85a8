#pragma once

#include <optional>
#include <string>

#include "core/job/job.hpp"

namespace sarde {

struct GuestPlaces {
  std::string builds;  ///< folder in the guest for builds
  std::string cache;   ///< folder in the guest for caches
  std::string shell;   ///< shell that runs a job's scripts
  bool keeps_builds =
      false;  ///< several jobs of a project, one after the other or at once, share the builds folder
};

/// `config`: tells gitlab-runner where the job will run, as one JSON object (see "Config stage" in the custom
/// executor's documentation). Uses neither the network nor libvirt. `job` may be missing.
std::string config_answer(const GuestPlaces& places, const std::optional<Job>& job);

}  // namespace sarde
