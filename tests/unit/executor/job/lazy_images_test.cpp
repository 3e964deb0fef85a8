// When a VM does not wait for its image.
#include "executor/job/lazy_images.hpp"

#include <doctest/doctest.h>

#include "core/image/store/partial_image.hpp"
#include "core/system/files.hpp"
#include "tests/support/check_error.hpp"
#include "tests/support/fake_clock.hpp"
#include "tests/support/temp_folder.hpp"

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

TEST_CASE("lazy: disks whose folder is gone are whole, or lost, and then nobody blames the script") {
  const sarde::testing::TestFolder vmdir;
  const auto manifest = Digest::of("manifest");
  const auto folder = PartialImage::folder_of(vmdir.path(), manifest);
  const auto look = [&] { DiskServerWatch(folder, {}).look(); };
  sarde::testing::check_error(Blame::host, "what had come of the image has been removed", look);
  make_folders(vmdir / Digest::of("another").text(), 0700);
  CHECK_THROWS_AS(look(), Error);
  make_folders(vmdir / manifest.text(), 0700);
  CHECK_NOTHROW(look());
  make_folders(folder, 0700);
  write_file(folder / ".failure", "the registry is away", 0600);
  sarde::testing::check_error(Blame::host, "the registry is away", look);
}
