#pragma once

#include <optional>
#include <string>

#include "config/settings.hpp"
#include "core/job/job.hpp"

namespace sarde {

/// `config`: what gitlab-runner is told about the place where the job will run, as one JSON object (custom
/// executor, "Config stage"). Touches neither network nor libvirt. `job` may be missing.
std::string config_answer(const Settings& settings, const std::optional<Job>& job);

}  // namespace sarde
