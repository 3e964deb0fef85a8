#pragma once

#include <functional>
#include <string>

#include "core/foundation/reporter.hpp"
#include "core/system/clock.hpp"
#include "executor/job/job_resources.hpp"

namespace sarde {

/// `cleanup`: removes the job's VM and files, unless they are kept because the job has failed
/// (keep-on-failure). Succeeds if there is nothing to remove, and when it is called again.
/// `before`: what is done in the VM of a prepared job first; its failure is a warning.
/// `status`: CI_JOB_STATUS; empty if the job did not come to its script.
void clean_up(const JobResources& resources, const std::function<void()>& before, const std::string& status,
              const Clock& clock, Reporter& reporter);

}  // namespace sarde
