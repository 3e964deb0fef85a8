#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "core/system/cancellation.hpp"

namespace sarde {

using TimePoint = std::chrono::steady_clock::time_point;

/// A moment to be written down and compared by another process, perhaps after a reboot. The date may be set
/// meanwhile, by years; as long as the machine has not booted anew, its uptime is what counts.
struct Moment {
  std::int64_t unix_seconds = 0;  ///< since 1970-01-01 UTC
  std::string boot = {};          ///< the kernel's boot_id; empty: not known
  std::int64_t uptime = 0;        ///< seconds since that boot, suspended ones included

  [[nodiscard]] Moment after(std::chrono::seconds duration) const {
    return {unix_seconds + duration.count(), boot, uptime + duration.count()};
  }

  [[nodiscard]] bool is_before(const Moment& other) const {
    if (!boot.empty() && boot == other.boot) return uptime < other.uptime;
    return unix_seconds < other.unix_seconds;
  }
};

/// Time, as a seam: tests give one whose sleeps take no time.
class Clock {
 public:
  Clock() = default;
  Clock(const Clock&) = delete;
  Clock& operator=(const Clock&) = delete;
  virtual ~Clock() = default;

  /// Never goes back; has no relation to the date.
  [[nodiscard]] virtual TimePoint now() const = 0;

  [[nodiscard]] virtual Moment moment() const = 0;

  /// Waits that long, or until a stop is asked for: then throws Cancelled.
  virtual void sleep(std::chrono::milliseconds duration, Cancellation& cancellation) = 0;
};

/// The real one.
class SystemClock final : public Clock {
 public:
  [[nodiscard]] TimePoint now() const override;
  [[nodiscard]] Moment moment() const override;
  void sleep(std::chrono::milliseconds duration, Cancellation& cancellation) override;
};

/// Whole milliseconds from `from` to `to`; 0 if `to` is past.
std::chrono::milliseconds milliseconds_between(TimePoint from, TimePoint to);

}  // namespace sarde
