// When a VM does not wait for its image.
#include "executor/job/lazy_images.hpp"

#include <doctest/doctest.h>

#include "tests/support/fake_clock.hpp"

using namespace sarde;
using std::chrono::milliseconds;

namespace {

constexpr std::uint64_t total = 1'000'000'000;

}  // namespace

TEST_CASE("lazy: a transfer is long if more than 20 seconds are left when it has gone on for two") {
  sarde::testing::FakeClock clock;
  Cancellation never;
  TransferEstimate estimate(clock);
  std::uint64_t rate = 0;
  bool is_long = false;
  SUBCASE("10 MB/s: 98 s are left") {
    rate = 10'000'000;
    is_long = true;
  }
  SUBCASE("44 MB/s: 20.7 s are left") {
    rate = 44'000'000;
    is_long = true;
  }
  SUBCASE("48 MB/s: 18.8 s are left") {
    rate = 48'000'000;
  }
  SUBCASE("nothing comes after the first bytes") {
    is_long = true;
  }
  // However long it takes until something comes: that is the registry's answer, not the link.
  CHECK_FALSE(estimate.is_long(0, total));
  clock.sleep(milliseconds(5'000), never);
  CHECK_FALSE(estimate.is_long(1, total));
  for (unsigned tenth = 1; tenth < 20; ++tenth) {
    clock.sleep(milliseconds(100), never);
    CHECK_FALSE(estimate.is_long(1 + rate / 10 * tenth, total));
  }
  clock.sleep(milliseconds(100), never);
  CHECK(estimate.is_long(1 + 2 * rate, total) == is_long);
  // It is decided once.
  clock.sleep(milliseconds(60'000), never);
  CHECK_FALSE(estimate.is_long(2 + 2 * rate, total));
}
