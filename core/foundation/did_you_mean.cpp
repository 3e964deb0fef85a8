#include "core/foundation/did_you_mean.hpp"

#include <algorithm>
#include <cstddef>

#include "core/foundation/text.hpp"

namespace sarde {

namespace {

/// Optimal string alignment distance.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<std::size_t>> cost(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) {
    for (std::size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        cost[i][j] = i + j;
        continue;
      }
      const std::size_t differs = a[i - 1] == b[j - 1] ? 0 : 1;
      cost[i][j] = std::min({cost[i - 1][j] + 1, cost[i][j - 1] + 1, cost[i - 1][j - 1] + differs});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
    }
  }
  return cost[a.size()][b.size()];
}

std::string near_word(std::string_view word, const std::vector<std::string>& known) {
  constexpr std::size_t longest = 40;
  if (word.size() > longest) return "";
  const std::size_t most = word.size() < 4 ? 1 : 2;
  std::string best;
  std::size_t least = most + 1;
  for (const auto& candidate : known) {
    const auto wrong = distance(word, candidate);
    if (wrong < least) {
      best = candidate;
      least = wrong;
    }
  }
  if (!best.empty() || word.size() < 3) return best;
  const auto begun = std::ranges::find_if(known, [&](const auto& one) { return one.starts_with(word); });
  return begun == known.end() ? "" : *begun;
}

}  // namespace

std::string did_you_mean(std::string_view word, const std::vector<std::string>& known) {
  const auto meant = near_word(word, known);
  return meant.empty() ? "" : " (did you mean " + quote(meant) + "?)";
}

}  // namespace sarde
