#pragma once

#include "core/system/clock.hpp"

namespace sarde::testing {

/// Time that passes only when somebody sleeps.
class FakeClock final : public Clock {
 public:
  [[nodiscard]] TimePoint now() const override { return now_; }

  [[nodiscard]] std::int64_t unix_seconds() const override { return 1'700'000'000; }

  void sleep(std::chrono::milliseconds duration, Cancellation& cancellation) override {
    cancellation.check();
    now_ += duration;
  }

 private:
  TimePoint now_;
};

}  // namespace sarde::testing
