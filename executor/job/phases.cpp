#include "executor/job/phases.hpp"

#include "core/foundation/text.hpp"

namespace sarde {

void Phase::done(const std::string& what) const {
  reporter_.say(what + " (" + duration_text(milliseconds_between(start_, clock_.now())) + ")");
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
