#include "config/image_policy.hpp"

#include "core/foundation/text.hpp"

namespace sarde {

const OptionValues* section_for_image(const std::map<std::string, OptionValues>& sections,
                                      const std::string& image) {
  if (const auto exact = sections.find(image); exact != sections.end()) return &exact->second;
  const OptionValues* best = nullptr;
  std::size_t longest = 0;
  for (const auto& [glob, values] : sections) {
    if ((best != nullptr && glob.size() <= longest) || !matches_glob(glob, image)) continue;
    best = &values;
    longest = glob.size();
  }
  return best;
}

}  // namespace sarde
