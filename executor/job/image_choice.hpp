#pragma once

#include <string>
#include <vector>

#include "core/image/reference/image_reference.hpp"
#include "core/job/job.hpp"

namespace sarde {

/// The administrator's settings for the images of jobs.
struct ImageRules {
  std::string default_image;                  ///< for jobs that name no image; empty: no default
  std::string pull_policy;                    ///< always, if-not-present or never
  std::vector<std::string> allowed_policies;  ///< policies that a job may choose in addition to `pull_policy`
};

/// Which image a job gets, and when to ask the registry for it.
struct ImageChoice {
  ImageReference reference;
  std::string policy;
};

/// Throws Error, the job's fault, if the job names no image and there is no default, if the name is invalid,
/// or if this runner allows none of the job's pull policies.
ImageChoice choose_image(const Job& job, const ImageRules& rules);

}  // namespace sarde
