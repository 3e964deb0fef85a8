#pragma once

#include <optional>
#include <string>

#include "core/job/job.hpp"

namespace sarde {

struct GuestPlaces {
  std::string builds;  ///< where jobs build, in the guest
  std::string cache;   ///< where they keep their cache there
  std::string shell;   ///< that runs a job's scripts
};

/// `config`: what gitlab-runner is told about the place where the job will run, as one JSON object (custom
/// executor, "Config stage"). Touches neither network nor libvirt. `job` may be missing.
std::string config_answer(const GuestPlaces& places, const std::optional<Job>& job);

}  // namespace sarde
