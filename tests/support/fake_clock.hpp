#pragma once

#include "core/system/clock.hpp"

namespace sarde::testing {

/// Time that passes only when somebody sleeps.
class FakeClock final : public Clock {
 public:
  [[nodiscard]] TimePoint now() const override { return now_; }

  Moment date{.unix_seconds = 1'700'000'000, .boot = "this-boot", .uptime = 1000};

  [[nodiscard]] Moment moment() const override { return date; }

  void sleep(std::chrono::milliseconds duration, Cancellation& cancellation) override {
    cancellation.check();
    now_ += duration;
  }

 private:
  TimePoint now_;
};

}  // namespace sarde::testing
