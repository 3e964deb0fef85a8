#pragma once

#include <string>
#include <vector>

#include "core/image/reference/image_reference.hpp"
#include "core/job/job.hpp"

namespace sarde {

/// What the administrator says about the images of jobs.
struct ImageRules {
  std::string default_image;                  ///< for jobs that name none; empty: there is no default
  std::string pull_policy;                    ///< always, if-not-present or never
  std::vector<std::string> allowed_policies;  ///< that a job may choose beside it
};

/// Which image a job gets, and when the registry is asked for it.
struct ImageChoice {
  ImageReference reference;
  std::string policy;
};

/// Throws Error, the job's fault, if it names no image where there is no default, something that is no
/// image's name, or only pull policies that this runner does not allow.
ImageChoice choose_image(const Job& job, const ImageRules& rules);

}  // namespace sarde
