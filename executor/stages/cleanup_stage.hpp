#pragma once

#include "core/foundation/reporter.hpp"
#include "executor/job/job_resources.hpp"

namespace sarde {

/// `cleanup`: the job's VM and files go. Fine when there is nothing, and on a second call.
void clean_up(const JobResources& resources, Reporter& reporter);

}  // namespace sarde
