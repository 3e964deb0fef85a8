#include "config/image_policy.hpp"

#include <algorithm>

#include "core/foundation/image_pattern.hpp"
#include "core/foundation/text.hpp"

namespace sarde {

const OptionValues* section_for_image(const std::map<std::string, OptionValues>& sections,
                                      const std::vector<std::string>& names) {
  std::map<std::string, const OptionValues*> canonical;
  for (const auto& [pattern, values] : sections) canonical.emplace(canonical_pattern(pattern), &values);
  for (const auto& name : names) {
    if (const auto exact = canonical.find(name); exact != canonical.end()) return exact->second;
  }
  const OptionValues* best = nullptr;
  std::size_t longest = 0;
  for (const auto& [glob, values] : canonical) {
    if (best != nullptr && glob.size() <= longest) continue;
    if (std::ranges::none_of(names,
                             [&, &glob = glob](const std::string& name) { return matches_glob(glob, name); }))
      continue;
    best = values;
    longest = glob.size();
  }
  return best;
}

}  // namespace sarde
