#include "core/system/clock.hpp"

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <poll.h>

#include "core/system/process_identity.hpp"

namespace sarde {

using std::chrono::milliseconds;

TimePoint SystemClock::now() const {
  return std::chrono::steady_clock::now();
}

Moment SystemClock::moment() const {
  timespec date{};
  timespec uptime{};
  ::clock_gettime(CLOCK_REALTIME, &date);
  ::clock_gettime(CLOCK_BOOTTIME, &uptime);
  return {.unix_seconds = date.tv_sec, .boot = boot_id(), .uptime = uptime.tv_sec};
}

void SystemClock::sleep(milliseconds duration, Cancellation& cancellation) {
  const auto end = now() + duration;
  for (;;) {
    cancellation.check();
    const auto left = milliseconds_between(now(), end);
    if (left.count() == 0) return;
    pollfd waiting{cancellation.fd(), POLLIN, 0};
    static_cast<void>(::poll(&waiting, 1, static_cast<int>(std::min<std::int64_t>(left.count(), 1'000'000))));
  }
}

milliseconds milliseconds_between(TimePoint from, TimePoint to) {
  return std::max(milliseconds(0), std::chrono::ceil<milliseconds>(to - from));
}

}  // namespace sarde
