#pragma once

#include <chrono>
#include <cstdint>

#include "core/system/cancellation.hpp"

namespace sarde {

using TimePoint = std::chrono::steady_clock::time_point;

/// Time, as a seam: tests give one whose sleeps take no time.
class Clock {
 public:
  Clock() = default;
  Clock(const Clock&) = delete;
  Clock& operator=(const Clock&) = delete;
  virtual ~Clock() = default;

  /// Never goes back; has no relation to the date.
  [[nodiscard]] virtual TimePoint now() const = 0;

  /// Seconds since 1970-01-01 UTC.
  [[nodiscard]] virtual std::int64_t unix_seconds() const = 0;

  /// Waits that long, or until a stop is asked for: then throws Cancelled.
  virtual void sleep(std::chrono::milliseconds duration, Cancellation& cancellation) = 0;
};

/// The real one.
class SystemClock final : public Clock {
 public:
  [[nodiscard]] TimePoint now() const override;
  [[nodiscard]] std::int64_t unix_seconds() const override;
  void sleep(std::chrono::milliseconds duration, Cancellation& cancellation) override;
};

/// Whole milliseconds from `from` to `to`; 0 if `to` is past.
std::chrono::milliseconds milliseconds_between(TimePoint from, TimePoint to);

}  // namespace sarde
