#include "core/foundation/image_pattern.hpp"

#include <algorithm>

#include "core/foundation/host_name.hpp"

namespace sarde {

std::string canonical_pattern(std::string_view pattern) {
  constexpr std::string_view scheme = "docker://";
  if (pattern.starts_with(scheme)) pattern.remove_prefix(scheme.size());
  const auto slash = pattern.find('/');
  if (slash == std::string_view::npos) return std::string(pattern);
  return canonical_host(pattern.substr(0, slash)) + std::string(pattern.substr(slash));
}

// One row of a table for each character of the pattern: which beginnings of the name the pattern's beginning
// matches. The time is the product of both lengths, whatever the pattern.
bool matches_image_pattern(std::string_view pattern, std::string_view name) {
  std::vector<char> matched(name.size() + 1, 0);
  matched[0] = 1;
  while (!pattern.empty()) {
    const auto stars = std::min<std::size_t>(pattern.find_first_not_of('*'), pattern.size());
    std::vector<char> next(name.size() + 1, 0);
    if (stars > 0) {
      for (std::size_t i = 0; i <= name.size(); ++i)
        next[i] = static_cast<char>(matched[i] != 0 ||
                                    (i > 0 && next[i - 1] != 0 && (stars > 1 || name[i - 1] != '/')));
      pattern.remove_prefix(stars);
    } else {
      for (std::size_t i = 1; i <= name.size(); ++i) {
        const bool fits = pattern[0] == '?' ? name[i - 1] != '/' : name[i - 1] == pattern[0];
        next[i] = static_cast<char>(matched[i - 1] != 0 && fits);
      }
      pattern.remove_prefix(1);
    }
    matched = std::move(next);
  }
  return matched.back() != 0;
}

std::string matching_pattern(const std::vector<std::string>& patterns,
                             const std::vector<std::string>& names) {
  for (const auto& pattern : patterns) {
    const auto canonical = canonical_pattern(pattern);
    if (std::ranges::any_of(names, [&](const auto& name) { return matches_image_pattern(canonical, name); }))
      return pattern;
  }
  return "";
}

}  // namespace sarde
