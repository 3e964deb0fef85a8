#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "core/system/files.hpp"
#include "executor/job/boot_wait.hpp"
#include "executor/job/job_resources.hpp"
#include "executor/stages/config_stage.hpp"
#include "tests/support/check_error.hpp"
#include "tests/support/fake_clock.hpp"
#include "tests/support/fake_hypervisor.hpp"
#include "tests/support/fake_reporter.hpp"
#include "tests/support/temp_folder.hpp"

using namespace sarde;
using namespace std::chrono_literals;
using sarde::testing::check_error;

namespace {

struct Bench {
  sarde::testing::FakeHypervisor hypervisor;
  sarde::testing::FakeClock clock;
  sarde::testing::FakeReporter reporter;
  Cancellation cancellation;
  BootWait wait{"vm",
                {.hypervisor = hypervisor,
                 .clock = clock,
                 .cancellation = cancellation,
                 .reporter = reporter,
                 .login_grace = 60s}};

  Bench() { hypervisor.running.insert("vm"); }
};

ConnectResult problem(ConnectProblem::Kind kind, const std::string& why) {
  return ConnectProblem{kind, why};
}

}  // namespace

TEST_CASE("boot wait: an address is waited for, with signs of life, and not for ever") {
  Bench bench;
  check_error(Blame::host, "not available within 25.0 s", [&] { bench.wait.for_address(25s); });
  CHECK(bench.reporter.lines.size() == 2);
  bench.hypervisor.known_addresses = {"fd00::1"};
  CHECK(bench.wait.for_address(1s) == "fd00::1");
}

TEST_CASE("boot wait: a VM that stops ends the wait at once") {
  Bench bench;
  const auto start = bench.clock.now();
  bench.hypervisor.running.clear();
  check_error(Blame::host, "the VM is gone: it has stopped, or was destroyed (last: refused)", [&] {
    bench.wait.for_shell([] { return problem(ConnectProblem::Kind::unreachable, "refused"); },
                         {.timeout = 300s});
  });
  CHECK(bench.clock.now() - start < 2s);
}

TEST_CASE("boot wait: a server that never lets anybody near is the host's fault, with the last word") {
  Bench bench;
  check_error(Blame::host, "last: connection refused", [&] {
    bench.wait.for_shell([] { return problem(ConnectProblem::Kind::unreachable, "connection refused"); },
                         {.timeout = 30s});
  });
}

TEST_CASE("boot wait: a refused login is tried ever more slowly for the grace, then it is the job's fault") {
  Bench bench;
  const auto start = bench.clock.now();
  int tries = 0;
  check_error(Blame::job, "refuses user 'u'; from the image", [&] {
    bench.wait.for_shell(
        [&] {
          ++tries;
          return problem(ConnectProblem::Kind::login_refused, "refuses user 'u'");
        },
        {.timeout = 300s, .login = "from the image"});
  });
  CHECK(bench.clock.now() - start >= 60s);
  CHECK(bench.clock.now() - start < 72s);
  CHECK(tries == 10);  // after 1, 2, 4, 8, 10, 10, 10, 10, 10 s
}

TEST_CASE("boot wait: what no further try can change ends the wait at once") {
  for (const auto& [kind, blame, sentence] :
       {std::tuple{ConnectProblem::Kind::no_algorithm, Blame::job, "ssh-algorithms"},
        std::tuple{ConnectProblem::Kind::host_key_changed, Blame::host, "another key"}}) {
    Bench bench;
    const auto start = bench.clock.now();
    check_error(blame, sentence, [&, kind = kind] {
      bench.wait.for_shell([&] { return problem(kind, "another key"); }, {.timeout = 300s});
    });
    CHECK(bench.clock.now() - start < 1s);
  }
}

TEST_CASE("job resources: the folder stays until the VM is gone for sure") {
  const sarde::testing::TestFolder folder;
  sarde::testing::FakeHypervisor hypervisor;
  const auto name = VmName::of_job("1", "");
  const JobResources resources(name, JobFolder(folder / name.text()),
                               [&]() -> Machines& { return hypervisor; });
  CHECK_FALSE(resources.are_there());
  resources.take_down();
  static_cast<void>(resources.folder().create({}));
  resources.take_down();  // no VM was started yet: libvirt is not asked
  CHECK_FALSE(resources.are_there());
  static_cast<void>(resources.folder().create({}));
  resources.folder().expect_vm();
  hypervisor.running.insert(name.text());
  hypervisor.refuses_to_destroy = true;
  check_error(Blame::host, "destroy VM '" + name.text() + "': libvirt is away",
              [&] { resources.take_down(); });
  CHECK(resources.are_there());
  hypervisor.refuses_to_destroy = false;
  resources.take_down();
  CHECK_FALSE(resources.are_there());
  CHECK(hypervisor.running.empty());
}

TEST_CASE("job record: what prepare writes run reads, and nobody else may") {
  const sarde::testing::TestFolder folder;
  const JobFolder job(folder / "j");
  CHECK_FALSE(job.read());
  static_cast<void>(job.create({}));
  job.write({.address = "::1",
             .port = 22,
             .host_key = "ssh-ed25519 AAAA",
             .username = "u",
             .password = Secret("p\n\"q"),
             .identity_file = "",
             .shell = "bash"});
  const auto record = job.read();
  REQUIRE(record);
  CHECK(record->address == "::1");
  CHECK(record->password.reveal() == "p\n\"q");
  const auto mode = std::filesystem::status(folder / "j/record.json").permissions();
  CHECK(mode == (std::filesystem::perms::owner_read | std::filesystem::perms::owner_write));
}

TEST_CASE("config stage: one JSON object, with and without a job") {
  const GuestPlaces places{.builds = "/b", .cache = "/c", .shell = "bash"};
  const auto with = nlohmann::json::parse(config_answer(places, Job{.id = "5"}));
  CHECK(with["driver"]["name"] == "sarde-executor");
  CHECK(with["builds_dir"] == "/b");
  CHECK(with["shell"] == "bash");
  CHECK(with["hostname"].get<std::string>().starts_with("sarde-5-"));
  CHECK_FALSE(nlohmann::json::parse(config_answer(places, std::nullopt)).contains("hostname"));
}
