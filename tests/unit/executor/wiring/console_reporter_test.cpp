#include "executor/wiring/console_reporter.hpp"

#include <algorithm>
#include <fcntl.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "core/system/files.hpp"
#include "tests/support/fake_clock.hpp"
#include "tests/support/temp_folder.hpp"

using namespace sarde;
using namespace std::chrono_literals;

namespace {

struct Bench {
  sarde::testing::TestFolder folder;
  sarde::testing::FakeClock clock;
  Cancellation cancellation;
  UniqueFd fd{::open((folder / "log").c_str(), O_WRONLY | O_CREAT, 0600)};

  std::string written() { return read_file(folder / "log"); }
};

}  // namespace

TEST_CASE("reporter: progress tells rate and time left, as far as they are known") {
  CHECK(progress_text({.doing = "packing d", .done = 500'000'000, .total = 2'000'000'000}, 0, 5s) ==
        "  packing d: 500.0 MB of 2.0 GB, 25 %, 100.0 MB/s, 15.0 s left");
  CHECK(progress_text({.doing = "pushing", .done = 3'000'000, .total = 0}, 1'000'000, 2s) ==
        "  pushing: 3.0 MB, 1.0 MB/s");
  CHECK(progress_text({.doing = "x", .done = 5, .total = 5}, 0, 1s) ==
        "  x: 5 bytes of 5 bytes, 100 %, 5 bytes/s");
}

TEST_CASE("reporter: without a terminal progress is a line every five seconds, under -q none") {
  for (const unsigned verbosity : {0U, 1U}) {
    Bench bench;
    {
      ConsoleReporter reporter(bench.fd.get(), verbosity, bench.clock, {});
      for (std::uint64_t i = 0; i <= 12; ++i) {
        reporter.progress({.doing = "packing", .done = i * 1'000'000, .total = 12'000'000});
        bench.clock.sleep(1s, bench.cancellation);
      }
    }
    const auto text = bench.written();
    CHECK(std::count(text.begin(), text.end(), '\n') == (verbosity == 0 ? 0 : 2));
    CHECK(text.find('\r') == std::string::npos);
  }
}

TEST_CASE("reporter: a secret is masked, whatever it is called") {
  Bench bench;
  ConsoleReporter reporter(bench.fd.get(), 1, bench.clock, {});
  reporter.mask("MASKED");
  reporter.mask("pass word");
  reporter.mask("abc");
  reporter.warn("it is 'pass word', abc, MASKED");
  CHECK(bench.written() == "it is '[MASKED]', abc, [MASKED]\n");
}
