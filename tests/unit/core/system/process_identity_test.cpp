#include "core/system/process_identity.hpp"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "core/system/clock.hpp"

using namespace sarde;
using namespace std::chrono_literals;

TEST_CASE("process identity: written down and read again, it is the same process") {
  const auto us = identity_of(::getpid());
  REQUIRE(us);
  const auto read = ProcessIdentity::parse(us->text() + "\n");
  REQUIRE(read);
  CHECK(read->text() == us->text());
  CHECK(life_of(*read) == ProcessLife::lives);
  for (const auto* wrong : {"", "1 2 3", "x 2 3 4", "0 2 3 4", "99999999999 2 3 4"})
    CHECK_FALSE(ProcessIdentity::parse(wrong));
}

TEST_CASE("process identity: another process with its number, another boot, another namespace") {
  auto other = *identity_of(::getpid());
  other.start += "0";
  CHECK(life_of(other) == ProcessLife::ended);
  other = *identity_of(::getpid());
  other.boot = "another";
  CHECK(life_of(other) == ProcessLife::ended);
  other = *identity_of(::getpid());
  other.pid_namespace = "pid:[1]";
  CHECK(life_of(other) == ProcessLife::unknown);
}

TEST_CASE("process identity: a process that has ended has, whether or not it was waited for") {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  siginfo_t info{};
  REQUIRE(::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT) == 0);
  const auto dead = identity_of(child);
  REQUIRE(dead);
  CHECK(life_of(*dead) == ProcessLife::ended);
  ::waitpid(child, nullptr, 0);
  CHECK(life_of(*dead) == ProcessLife::ended);
  CHECK_FALSE(identity_of(child));
}

TEST_CASE("moment: the uptime counts within one boot, the date elsewhere") {
  const Moment now{.unix_seconds = 1000, .boot = "a", .uptime = 50};
  CHECK(now.is_before(now.after(1s)));
  CHECK_FALSE(now.after(1s).is_before(now));
  CHECK_FALSE(now.is_before({.unix_seconds = 999'999, .boot = "a", .uptime = 40}));  // the date was set
  CHECK(now.is_before({.unix_seconds = 1001, .boot = "b", .uptime = 1}));
  const auto real = SystemClock().moment();
  CHECK(real.unix_seconds > 1'700'000'000);
  CHECK(real.boot.size() == 36);
  CHECK(real.uptime > 0);
}
