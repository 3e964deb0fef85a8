#include "config/image_policy.hpp"

#include <algorithm>

#include "core/foundation/host_name.hpp"
#include "core/foundation/text.hpp"

namespace sarde {

namespace {

/// In the spelling that images' names have. A pattern is no name: only what a pattern may have too is
/// changed.
std::string canonical_pattern(std::string_view pattern) {
  constexpr std::string_view scheme = "docker://";
  if (pattern.starts_with(scheme)) pattern.remove_prefix(scheme.size());
  const auto slash = pattern.find('/');
  if (slash == std::string_view::npos) return std::string(pattern);
  return canonical_host(pattern.substr(0, slash)) + std::string(pattern.substr(slash));
}

}  // namespace

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
