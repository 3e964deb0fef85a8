#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sarde {

/// What an image's maker should know of its domain before the first job does.
struct DomainDoubts {
  std::string refusal = {};            ///< why a job will be refused; empty: it will not
  std::vector<std::string> lost = {};  ///< elements that a job's VM will not get, and a guest may miss
  std::vector<std::string> left_out =
      {};  ///< others that it will not get: screens, sound, tuning of the host

  [[nodiscard]] bool any() const { return !refusal.empty() || !lost.empty(); }
};

/// `allowed_devices`: elements of <devices> that the administrator lets jobs' VMs have.
DomainDoubts doubts_about_domain(std::string_view image_xml, const std::vector<std::string>& allowed_devices);

}  // namespace sarde
