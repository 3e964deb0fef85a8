#include "executor/job/image_choice.hpp"

#include <algorithm>

#include "core/foundation/error.hpp"
#include "core/foundation/image_pattern.hpp"
#include "core/foundation/text.hpp"

namespace sarde {

namespace {

/// What the job asks for and the runner allows, in the job's order.
std::vector<std::string> pull_policies(const Job& job, const ImageRules& rules) {
  if (job.pull_policies.empty()) return rules.pull_policies;
  auto allowed = rules.pull_policies;
  for (const auto& policy : rules.allowed_policies)
    if (std::ranges::find(allowed, policy) == allowed.end()) allowed.push_back(policy);
  std::vector<std::string> policies;
  for (const auto& policy : job.pull_policies)
    if (std::ranges::find(allowed, policy) != allowed.end()) policies.push_back(policy);
  if (policies.empty())
    throw Error(Blame::job, "the job wants pull policy " + quote(join(job.pull_policies, ", ")) +
                                ", but this runner allows only " + quote(join(allowed, ", ")) +
                                " (pull-policy, allowed-pull-policies)");
  return policies;
}

/// Every spelling that an image of Docker Hub has: with and without its host, and `library/`, which stands
/// for none.
std::vector<std::string> all_names(const ImageReference& reference) {
  constexpr std::string_view hub = "docker.io/";
  constexpr std::string_view library = "library/";
  auto names = reference.names();
  if (reference.asked_registry() + "/" != hub) return names;
  for (auto name : reference.names()) {
    if (name.starts_with(hub)) name.erase(0, hub.size());
    if (name.starts_with(library)) name.erase(0, library.size());
    names.push_back(name);
    names.push_back(std::string(hub) + name);
    if (name.find('/') != std::string::npos) continue;
    names.push_back(std::string(library) + name);
    names.push_back(std::string(hub) + std::string(library) + name);
  }
  return names;
}

void check_allowed(const std::string& name, const std::vector<std::string>& names, const ImageRules& rules) {
  const auto refused = "image " + quote(name) + " is not allowed on this runner: ";
  if (const auto pattern = matching_pattern(rules.denied_images, names); !pattern.empty())
    throw Error(Blame::job, refused + "deny-image lists " + quote(pattern));
  if (!rules.allowed_images.empty() && matching_pattern(rules.allowed_images, names).empty())
    throw Error(Blame::job, refused + "allow-image lists only " + quote(join(rules.allowed_images, ", ")));
}

/// Nobody else's images have names of this kind: their tags are made here (image_of_local_vm()).
constexpr std::string_view local_vms = "localhost/vm/";

/// A VM's name as a component of an image's: its letters and digits, with dashes between.
std::string component_of(const std::string& vm) {
  std::string component;
  for (const char c : lowered(vm)) {
    const bool is_plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (is_plain) component += c;
    if (!is_plain && !component.empty() && component.back() != '-') component += '-';
  }
  while (!component.empty() && component.back() == '-') component.pop_back();
  return component.empty() ? "unnamed" : component;
}

/// A VM of this host belongs to somebody, so jobs get those alone that the administrator names.
ImageChoice choose_vm(const std::string& name, const std::string& vm, bool is_jobs_word,
                      const ImageRules& rules) {
  if (is_jobs_word && rules.allowed_images.empty())
    throw Error(Blame::job,
                "image " + quote(name) +
                    " is a VM of this host, which jobs may use only if allow-image lists it, or if an "
                    "alias or default-image stands for it");
  check_allowed(name, {name}, rules);
  return {.reference = ImageReference::parse(std::string(local_vms) + component_of(vm)),
          .policies = {"never"},
          .vm = vm};
}

}  // namespace

std::string vm_named_by(const std::string& image) {
  constexpr std::string_view prefix = "vm:";
  return image.starts_with(prefix) ? image.substr(prefix.size()) : "";
}

std::string wanted_image(const Job& job, const ImageRules& rules) {
  const auto& name = job.image.empty() ? rules.default_image : job.image;
  const auto alias = rules.aliases.find(name);
  return alias == rules.aliases.end() ? name : alias->second;
}

ImageChoice choose_image(const Job& job, const ImageRules& rules) {
  const auto name = wanted_image(job, rules);
  if (name.empty()) {
    throw Error(Blame::job,
                "the job names no image, and this runner has no default image; add 'image: "
                "registry.example.org/vms/debian12' to the job");
  }
  if (const auto vm = vm_named_by(name); !vm.empty()) return choose_vm(name, vm, name == job.image, rules);
  auto reference = ImageReference::parse(name);
  if (reference.text().starts_with(local_vms))
    throw Error(Blame::job, "image " + quote(name) + " is an image of a VM of this host; write vm:NAME");
  check_allowed(reference.text(), all_names(reference), rules);
  return {.reference = std::move(reference), .policies = pull_policies(job, rules)};
}

}  // namespace sarde
