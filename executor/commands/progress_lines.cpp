#include "executor/commands/progress_lines.hpp"

#include "core/foundation/text.hpp"

namespace sarde {

DiskProgress progress_lines(std::string doing, Clock& clock, Reporter& reporter) {
  static constexpr std::chrono::seconds every(5);
  return [doing = std::move(doing), &clock, &reporter, start = clock.now(), next = clock.now() + every](
             std::uint64_t done, std::uint64_t total) mutable {
    const auto now = clock.now();
    if (now < next || total == 0) return;
    next = now + every;
    const auto seconds = static_cast<double>(milliseconds_between(start, now).count()) / 1000;
    const auto rate = static_cast<std::uint64_t>(static_cast<double>(done) / seconds);
    reporter.say("  " + doing + ": " + size_text(done) + " of " + size_text(total) + ", " +
                 std::to_string(done * 100 / total) + " %, " + size_text(rate) + "/s");
  };
}

}  // namespace sarde
