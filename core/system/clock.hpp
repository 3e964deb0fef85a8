#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "core/system/cancellation.hpp"

namespace sarde {

using TimePoint = std::chrono::steady_clock::time_point;

/// A moment that is stored and later compared by another process, perhaps after a reboot. The date may have
/// been changed in the meantime, even by years. As long as the machine has not been rebooted, its uptime is
/// used.
struct Moment {
  std::int64_t unix_seconds = 0;  ///< since 1970-01-01 UTC
  std::string boot = {};          ///< the kernel's boot_id; empty: unknown
  std::int64_t uptime = 0;        ///< seconds since that boot, including time in suspend

  [[nodiscard]] Moment after(std::chrono::seconds duration) const {
    return {unix_seconds + duration.count(), boot, uptime + duration.count()};
  }

  [[nodiscard]] bool is_before(const Moment& other) const {
    if (!boot.empty() && boot == other.boot) return uptime < other.uptime;
    return unix_seconds < other.unix_seconds;
  }
};

/// An interface for time. Tests use an implementation in which sleeping takes no time.
class Clock {
 public:
  Clock() = default;
  Clock(const Clock&) = delete;
  Clock& operator=(const Clock&) = delete;
  virtual ~Clock() = default;

  /// Never goes backwards, and is unrelated to the date.
  [[nodiscard]] virtual TimePoint now() const = 0;

  [[nodiscard]] virtual Moment moment() const = 0;

  /// Waits for `duration`. If a stop is requested before that, throws Cancelled.
  virtual void sleep(std::chrono::milliseconds duration, Cancellation& cancellation) = 0;
};

/// The real clock.
class SystemClock final : public Clock {
 public:
  [[nodiscard]] TimePoint now() const override;
  [[nodiscard]] Moment moment() const override;
  void sleep(std::chrono::milliseconds duration, Cancellation& cancellation) override;
};

/// Whole milliseconds from `from` to `to`; 0 if `to` is earlier than `from`.
std::chrono::milliseconds milliseconds_between(TimePoint from, TimePoint to);

}  // namespace sarde
