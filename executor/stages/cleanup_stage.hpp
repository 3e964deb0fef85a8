#pragma once

#include "core/foundation/reporter.hpp"
#include "executor/job/job_resources.hpp"

namespace sarde {

/// `cleanup`: removes the job's VM and files. Succeeds if there is nothing to remove, and when it is called
/// again.
void clean_up(const JobResources& resources, Reporter& reporter);

}  // namespace sarde
