#include "executor/job/image_choice.hpp"

#include <algorithm>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"

namespace sarde {

namespace {

std::string pull_policy(const Job& job, const ImageRules& rules) {
  if (job.pull_policies.empty()) return rules.pull_policy;
  const auto& allowed = rules.allowed_policies;
  for (const auto& policy : job.pull_policies) {
    if (policy == rules.pull_policy || std::ranges::find(allowed, policy) != allowed.end()) return policy;
  }
  throw Error(Blame::job, "the job wants pull policy " + quote(join(job.pull_policies, ", ")) +
                              ", but this runner allows only " +
                              quote(join(allowed.empty() ? std::vector{rules.pull_policy} : allowed, ", ")));
}

}  // namespace

ImageChoice choose_image(const Job& job, const ImageRules& rules) {
  const auto& name = job.image.empty() ? rules.default_image : job.image;
  if (name.empty()) {
    throw Error(Blame::job,
                "the job names no image, and this runner has no default image; add 'image: "
                "registry.example.org/vms/debian12' to the job");
  }
  return {.reference = ImageReference::parse(name), .policy = pull_policy(job, rules)};
}

}  // namespace sarde
