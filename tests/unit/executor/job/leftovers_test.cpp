// What proves that a VM is a job's that nobody cleans up any more, and what does not.
#include "executor/job/leftovers.hpp"

#include <doctest/doctest.h>

#include "core/job/job_record.hpp"
#include "core/vm/vm_name.hpp"
#include "tests/support/fake_clock.hpp"
#include "tests/support/fake_hypervisor.hpp"
#include "tests/support/temp_folder.hpp"

using namespace sarde;

namespace {

struct Bench {
  sarde::testing::TestFolder folder;
  sarde::testing::FakeHypervisor hypervisor;
  sarde::testing::FakeClock clock;
  std::filesystem::path jobsdir = folder / "jobs";
  std::string name = VmName::of_job("7", "x").text();
  Moment past{.unix_seconds = 1, .boot = "this-boot", .uptime = 1};

  Bench() { make_folders(jobsdir, 0700); }

  void vm(const std::string& called, const std::filesystem::path& of_folder, bool is_transient = true) {
    hypervisor.running.insert(called);
    hypervisor.jobs.push_back(
        {.name = called, .uuid = "u", .expires = past, .folder = of_folder, .is_transient = is_transient});
  }

  std::vector<std::string> found() {
    std::vector<std::string> names;
    for (const auto& leftover : find_leftovers(hypervisor, jobsdir, clock)) names.push_back(leftover.name);
    return names;
  }
};

}  // namespace

TEST_CASE("leftovers: a VM past its time, or without its folder, if all about it is ours") {
  Bench bench;
  bench.vm(bench.name, bench.jobsdir / bench.name);
  CHECK(bench.found() == std::vector{bench.name});
  for (const auto& leftover : find_leftovers(bench.hypervisor, bench.jobsdir, bench.clock))
    remove_leftover(leftover, bench.hypervisor, bench.jobsdir, bench.clock);
  CHECK(bench.hypervisor.running.empty());
}

TEST_CASE("leftovers: metadata alone prove nothing") {
  const std::vector<std::pair<std::string, std::function<void(Bench&)>>> cases{
      {"a name of its own", [](Bench& b) { b.vm("web", b.jobsdir / "web"); }},
      {"a name like ours", [](Bench& b) { b.vm("sarde-7-xyz", b.jobsdir / "sarde-7-xyz"); }},
      {"another folder", [](Bench& b) { b.vm(b.name, "/elsewhere/" + b.name); }},
      {"another job's folder", [](Bench& b) { b.vm(b.name, b.jobsdir / VmName::of_job("8", "x").text()); }},
      {"a folder by a way around", [](Bench& b) { b.vm(b.name, b.jobsdir / "x" / ".." / b.name); }},
      {"no folder", [](Bench& b) { b.vm(b.name, ""); }},
      {"a definition that is kept", [](Bench& b) { b.vm(b.name, b.jobsdir / b.name, false); }},
      {"another jobsdir", [](Bench& b) { b.vm(b.name, b.folder / "other" / b.name); }}};
  for (const auto& [what, make] : cases) {
    CAPTURE(what);
    Bench bench;
    make(bench);
    CHECK(bench.found().empty());
    for (const auto& vm : bench.hypervisor.jobs)
      remove_leftover({.name = vm.name, .why = "", .is_vm = true}, bench.hypervisor, bench.jobsdir,
                      bench.clock);
    CHECK(bench.hypervisor.running.size() == 1);
  }
}

TEST_CASE("leftovers: what was a leftover is looked at again before it is destroyed") {
  Bench bench;
  bench.vm(bench.name, bench.jobsdir / bench.name);
  const auto seen = find_leftovers(bench.hypervisor, bench.jobsdir, bench.clock);
  REQUIRE(seen.size() == 1);
  SUBCASE("its job has a folder again, and its lock") {
    const JobFolder folder(bench.jobsdir / bench.name);
    const auto lock = folder.create({});
    remove_leftover(seen[0], bench.hypervisor, bench.jobsdir, bench.clock);
    CHECK(bench.hypervisor.running.size() == 1);
  }
  SUBCASE("its time is not over any more") {
    static_cast<void>(JobFolder(bench.jobsdir / bench.name).create({}));
    bench.hypervisor.jobs[0].expires = bench.clock.moment().after(std::chrono::hours(1));
    remove_leftover(seen[0], bench.hypervisor, bench.jobsdir, bench.clock);
    CHECK(bench.hypervisor.running.size() == 1);
  }
  SUBCASE("it is another VM by now") {
    bench.hypervisor.jobs[0].is_transient = false;
    remove_leftover(seen[0], bench.hypervisor, bench.jobsdir, bench.clock);
    CHECK(bench.hypervisor.running.size() == 1);
  }
}
