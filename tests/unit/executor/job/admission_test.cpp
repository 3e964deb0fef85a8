#include "executor/job/admission.hpp"

#include <doctest/doctest.h>
#include <optional>

#include "core/system/temp_files.hpp"
#include "core/vm/vm_name.hpp"
#include "tests/support/check_error.hpp"
#include "tests/support/fake_clock.hpp"
#include "tests/support/fake_reporter.hpp"

using namespace sarde;
using sarde::testing::check_error;

namespace {

/// A host with 10 GiB, of which 9 GiB are for VMs.
struct Bench {
  TempFolder place = TempFolder::in("/tmp", "sarde-test-", 0700);
  std::filesystem::path jobsdir = place.path() / "jobs";
  sarde::testing::FakeClock clock;
  sarde::testing::FakeReporter reporter;
  Cancellation cancellation;
  HostMemory memory{.total_mib = 10240, .available_mib = 10000};
  std::optional<unsigned> max_vms;
  double overcommit = 1;
  std::function<void()> discard = [] {};
  int meanwhile = 0;  ///< calls

  JobFolder folder(const std::string& id) {
    return JobFolder(jobsdir / VmName::of_job(id, "d").text());
  }

  void wait(const JobFolder& folder, std::uint64_t mib) {
    Admission({.rules = {.max_vms = max_vms,
                         .overcommit = overcommit,
                         .timeout = std::chrono::seconds(60),
                         .jobsdir = jobsdir},
               .memory = [this](const auto&) { return memory; },
               .discard_leftovers = discard,
               .clock = clock,
               .cancellation = cancellation,
               .reporter = reporter})
        .wait_for(folder, mib, [&] { ++meanwhile; });
  }
};

}  // namespace

TEST_CASE("admission: what is free is reserved at once, with what QEMU needs") {
  Bench bench;
  const auto one = bench.folder("1");
  const auto lock = one.create({});
  bench.wait(one, 4000);
  CHECK(one.reservation() == 4128U);
  CHECK_FALSE(one.ticket());
  CHECK(bench.reporter.lines.empty());
  CHECK(bench.meanwhile == 0);
}

TEST_CASE("admission: who finds no room waits, says for what, and fails in the end") {
  Bench bench;
  const auto one = bench.folder("1");
  const auto two = bench.folder("2");
  const auto lock_of_one = one.create({});
  const auto lock_of_two = two.create({});
  bench.wait(one, 6000);
  check_error(Blame::host, "(admission-timeout), the VM needs 4.3 GB of memory, and 1 other(s) have 6.4 GB of the 9.7 GB",
              [&] { bench.wait(two, 4000); });
  REQUIRE(!bench.reporter.lines.empty());
  CHECK(bench.reporter.lines.front().starts_with("Waiting for room on this host: the VM needs"));
  CHECK(two.ticket() == 1U);
  CHECK(bench.meanwhile > 100);
  bench.overcommit = 1.5;
  bench.wait(two, 4000);
  CHECK(two.reservation() == 4128U);
}

TEST_CASE("admission: a job that came first goes first, even if a later one would fit") {
  Bench bench;
  bench.max_vms = 1;
  const auto one = bench.folder("1");
  const auto two = bench.folder("2");
  const auto three = bench.folder("3");
  const auto lock_of_one = one.create({});
  auto lock_of_two = std::optional(two.create({}));
  const auto lock_of_three = three.create({});
  bench.wait(one, 100);
  two.take_ticket(7);
  bench.max_vms = 2;
  check_error(Blame::host, "1 other job(s) came first", [&] { bench.wait(three, 100); });
  CHECK(three.ticket() == 8U);
  // The first in the queue is killed: nobody waits for a ticket without a prepare.
  lock_of_two.reset();
  bench.wait(three, 100);
  CHECK(three.reservation());
}

TEST_CASE("admission: only a job that may have a VM holds its reservation") {
  Bench bench;
  bench.max_vms = 1;
  const auto one = bench.folder("1");
  const auto two = bench.folder("2");
  auto lock_of_one = std::optional(one.create({}));
  const auto lock_of_two = two.create({});
  bench.wait(one, 100);
  SUBCASE("killed before its VM was started: nothing") {
    lock_of_one.reset();
    bench.wait(two, 100);
  }
  SUBCASE("killed after that: until what it left behind is removed") {
    one.expect_vm();
    lock_of_one.reset();
    bench.discard = [&] { one.remove(); };
    bench.wait(two, 100);
  }
  SUBCASE("alive") {
    check_error(Blame::host, "1 VM(s) are running, and max-vms is 1", [&] { bench.wait(two, 100); });
    return;
  }
  CHECK(two.reservation());
}

TEST_CASE("admission: other programs' memory is not the VMs'") {
  Bench bench;
  const auto one = bench.folder("1");
  const auto two = bench.folder("2");
  const auto lock_of_one = one.create({});
  const auto lock_of_two = two.create({});
  bench.memory.available_mib = 5000;
  bench.wait(one, 4000);
  // Half of what the first was promised is in use; the rest is still to come.
  bench.memory = {.total_mib = 10240, .available_mib = 3000, .of_vms_mib = 2000};
  check_error(Blame::host, "this host has only", [&] { bench.wait(two, 1000); });
  bench.memory.of_vms_mib = 4128;
  bench.wait(two, 1000);
}

TEST_CASE("admission: a VM that this host can never hold is refused at once") {
  Bench bench;
  const auto one = bench.folder("1");
  const auto lock = one.create({});
  check_error(Blame::job, "more than the 9.7 GB that this host has for VMs", [&] { bench.wait(one, 9200); });
  CHECK_FALSE(one.ticket());
}
