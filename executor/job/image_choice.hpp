#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/image/reference/image_reference.hpp"
#include "core/job/job.hpp"

namespace sarde {

/// The administrator's settings for the images of jobs.
struct ImageRules {
  std::string default_image = {};                   ///< for jobs that name no image; empty: no default
  std::map<std::string, std::string> aliases = {};  ///< names that stand for images
  std::vector<std::string> allowed_images = {};     ///< patterns (image_pattern.hpp); empty: every image
  std::vector<std::string> denied_images = {};      ///< patterns; they win over `allowed_images`
  std::vector<std::string> pull_policies = {};      ///< always, if-not-present, never; tried in this order
  std::vector<std::string> allowed_policies = {};   ///< that a job may choose in addition to `pull_policies`
};

/// Which image a job gets, and when to ask the registry for it.
struct ImageChoice {
  ImageReference reference;
  std::vector<std::string> policies;  ///< one or more, tried in this order
  std::string vm = {};  ///< a VM of this host that the image is made of; empty: it is a registry's
};

/// The VM that `vm:NAME` names; empty if the text is an image's name.
std::string vm_named_by(const std::string& image);

/// The image's name that the job wants: its own or the default, with an alias replaced; empty if there is
/// none.
std::string wanted_image(const Job& job, const ImageRules& rules);

/// Throws Error, the job's fault, if the job names no image and there is no default, if the name is invalid,
/// or if this runner does not allow the image, or any of the job's pull policies.
ImageChoice choose_image(const Job& job, const ImageRules& rules);

}  // namespace sarde
