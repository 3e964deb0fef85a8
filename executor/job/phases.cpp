#include "executor/job/phases.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "core/foundation/text.hpp"

namespace sarde {

void Phase::done(const std::string& what) const {
  reporter_.say(what + " (" + duration_text(milliseconds_between(start_, clock_.now())) + ")");
}

std::vector<std::string> phase_chart(const std::vector<PhaseTime>& phases) {
  constexpr std::int64_t width = 40;
  std::int64_t whole = 1;  // milliseconds
  std::size_t longest = 0;
  for (const auto& phase : phases) {
    whole += phase.time.count();
    longest = std::max(longest, phase.name.size());
  }
  std::vector<std::string> lines;
  std::int64_t before = 0;
  for (const auto& [name, time] : phases) {
    const auto from = before * width / whole;
    before += time.count();
    const auto to = std::max(from + (time.count() == 0 ? 0 : 1), before * width / whole);
    lines.push_back(fmt::format("  {:<{}} {:<{}} {}", name, longest,
                                std::string(static_cast<std::size_t>(from), ' ') +
                                    std::string(static_cast<std::size_t>(to - from), '#'),
                                width, duration_text(time)));
  }
  return lines;
}

std::function<void(std::uint64_t, std::uint64_t)> progress_of(Reporter& reporter, std::string doing) {
  return [&reporter, doing = std::move(doing)](std::uint64_t done, std::uint64_t total) {
    reporter.progress({.doing = doing, .done = done, .total = total});
  };
}

std::function<void(const std::string&, std::uint64_t, std::uint64_t)> progress_in(Reporter& reporter) {
  return [&reporter](const std::string& doing, std::uint64_t done, std::uint64_t total) {
    reporter.progress({.doing = doing, .done = done, .total = total});
  };
}

}  // namespace sarde
