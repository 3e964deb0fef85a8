#include "executor/job/guest_renewal.hpp"

#include <chrono>
#include <cmath>
#include <fmt/format.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "core/system/cancellation.hpp"
#include "tests/support/fake_clock.hpp"
#include "tests/support/fake_guest.hpp"

using namespace sarde;
using namespace sarde::testing;

namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

const std::string digits(64, 'a');

/// A guest that answers with this; what it was told is in `told`.
struct Renewed {
  std::vector<std::string> told;
  Renewal result;

  explicit Renewed(const std::function<std::string()>& answer, const std::string& name = "sarde-1-0") {
    FakeClock clock;
    Cancellation never;
    FakeGuest guest;
    guest.runs = [&](const GuestScript& script) {
      told.push_back(script.content);
      const auto text = answer();
      REQUIRE(::write(script.output, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
      return ScriptExited{0};
    };
    auto connected = guest.connect({});
    result = renew_guest(
        *std::get<std::unique_ptr<GuestShell>>(connected), name, [] {}, clock, never);
  }
};

std::string answer_at(double time, const std::string& seed = "perl") {
  return fmt::format("here\nroot\nseed {}\nrandom {}\ntime {:.6f}\n", seed, digits, time);
}

}  // namespace

TEST_CASE("guest renewal: a guest that did all of it, at the right time") {
  const Renewed guest([] { return answer_at(now()); });
  CHECK(guest.result.problem.empty());
  CHECK(guest.result.random == digits);
  REQUIRE(guest.told.size() == 1);
  CHECK(guest.told[0].find("name=sarde-1-0\n") != std::string::npos);
  const Renewed other([] { return answer_at(now()); });
  CHECK(guest.told[0] != other.told[0]);  // each gets random numbers of its own
}

TEST_CASE("guest renewal: a clock that is off is set again, with what it was off; the names only once") {
  int asked = 0;
  const Renewed slow([&] { return answer_at(now() - (asked++ == 0 ? 3 : 0.1)); });
  CHECK(slow.result.problem.empty());
  REQUIRE(slow.told.size() == 2);
  CHECK(slow.told[1].find("name=\n") != std::string::npos);
  const Renewed never([] { return answer_at(now() - 3600); });
  CHECK(never.result.problem.starts_with("the guest's clock cannot be set: it is 3600.0 s off"));
}

TEST_CASE("guest renewal: a clock in whole seconds is set when one begins") {
  int asked = 0;
  const Renewed guest([&] {
    const auto time = now() - (asked++ == 0 ? 5 : 0.1);
    return fmt::format("here\nroot\nseed vmgenid\nrandom {}\ntime {:.0f}.\n", digits,
                       asked == 1 ? std::floor(time) : std::round(time));
  });
  CHECK_MESSAGE(guest.result.problem.empty(), guest.result.problem);
  REQUIRE(guest.told.size() >= 2);
  CHECK(guest.told[0].find("|| { sleep 0.") != std::string::npos);
  CHECK(guest.told[1].find("date -u -s @$((s + 1 + ") != std::string::npos);
}

TEST_CASE("guest renewal: what a guest lacks, or says that cannot be") {
  const auto problem = [](const std::string& answer) {
    return Renewed([&] { return answer; }).result.problem;
  };
  CHECK(problem("") == "the guest did not answer in time");
  CHECK(problem("here\n").find("is not root and cannot use sudo without a password") != std::string::npos);
  CHECK(problem("here\nsudo: a password is required\n").find("is not root") != std::string::npos);
  CHECK(problem(answer_at(now(), "none")).find("cannot be given new random numbers") != std::string::npos);
  CHECK(problem("here\nroot\nseed perl\nrandom \ntime 1\n") == "the guest shows no random numbers");
  CHECK(problem("here\nroot\nseed perl\nrandom " + std::string(64, 'x') + "\ntime 1\n") ==
        "the guest shows no random numbers");
  for (const auto* time : {"", "x", "nan", "-5", "inf", "1e999"})
    CHECK_FALSE(problem("here\nroot\nseed perl\nrandom " + digits + "\ntime " + time + "\n").empty());
  CHECK(problem("here\nroot\nseed perl\nrandom " + digits + "\n") == "the guest does not tell its time");
}
