// The stages over fakes that behave: in which order things happen, what each failure leaves, and whose fault
// it is.
#include "executor/stages/prepare_stage.hpp"

#include <algorithm>
#include <new>

#include <doctest/doctest.h>

#include "core/image/disk/disk_packing.hpp"
#include "core/system/files.hpp"
#include "executor/stages/cleanup_stage.hpp"
#include "executor/stages/run_stage.hpp"
#include "tests/support/check_error.hpp"
#include "tests/support/fake_clock.hpp"
#include "tests/support/fake_guest.hpp"
#include "tests/support/fake_hypervisor.hpp"
#include "tests/support/fake_registry.hpp"
#include "tests/support/fake_reporter.hpp"
#include "tests/support/temp_folder.hpp"

using namespace sarde;
using sarde::testing::check_error;

namespace {

constexpr auto domain_xml =
    "<domain type='kvm'><name>x</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>"
    "<os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os><devices>"
    "<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='d.raw'/>"
    "<target dev='vda' bus='virtio'/></disk></devices></domain>";

/// A job's whole surroundings, of which every step can be made to fail.
struct Bench {
  sarde::testing::TestFolder folder{"/dev/shm"};  // many of them, each with files that are synced
  sarde::testing::FakeHypervisor hypervisor;
  sarde::testing::FakeRegistry registry;
  sarde::testing::FakeReporter reporter;
  sarde::testing::FakeGuest guest;
  sarde::testing::FakeClock clock;
  Cancellation cancellation;
  Environment environment;
  ImageStore store{{.ocidir = folder / "oci",
                    .vmdir = folder / "vms",
                    .threads = 1,
                    .lock_timeout = std::chrono::seconds(1)},
                   clock,
                   cancellation};
  VmName name = VmName::of_job("7", "x");
  JobFolder job_folder{folder / "jobs" / name.text()};
  Job job{.id = "7", .distinction = "x", .image = "h.example/vms/a:one"};
  std::string network = "slirp";
  std::vector<std::string> steps;
  std::optional<std::size_t> failing;  ///< the step that fails
  std::function<void()> fail;

  Bench() {
    make_folders(folder / "jobs", 0700);
    write_file(folder / "prepare.sh", "true\n", 0600);
    publish();
    const auto step = [this](const std::string& call) {
      const auto number = steps.size();
      steps.push_back(call);
      if (failing == number) fail();
    };
    hypervisor.step = step;
    registry.step = step;
    reporter.step = step;
    guest.step = step;
  }

  void publish() {
    const auto packed = registry.add_disk(folder.path(), "d.raw", std::string(4096, 'x'));
    const auto domain = registry.add(domain_xml, media_type::domain);
    const auto config = registry.add(to_text(ImageConfig{.architecture = "amd64",
                                                         .created = "2026-01-01T00:00:00Z",
                                                         .diff_ids = {domain.digest, packed.diff_id},
                                                         .history = {}}),
                                     media_type::config);
    Manifest manifest{.config = config, .layers = {domain}};
    manifest.layers.insert(manifest.layers.end(), packed.chunks.begin(), packed.chunks.end());
    registry.tags.insert_or_assign("one", registry.add(to_text(manifest), media_type::manifest).digest);
  }

  Metrics metrics;

  JobResources resources() {
    return {name, job_folder, [this]() -> Machines& { return hypervisor; }};
  }

  GuestDoor door() {
    return GuestDoor({.address_timeout = std::chrono::seconds(30),
                      .boot_timeout = std::chrono::seconds(60),
                      .hypervisor = [this]() -> Hypervisor& { return hypervisor; },
                      .connect = [this](const SshTarget& target,
                                        const ConnectLimits& /*limits*/) { return guest.connect(target); },
                      .clock = clock,
                      .cancellation = cancellation,
                      .reporter = reporter});
  }

  void prepare() {
    const Source<Hypervisor> source = [this]() -> Hypervisor& { return hypervisor; };
    PrepareStage(
        {.rules = {.image = {.pull_policies = {"always"}},
                   .login = {.otherwise = {.username = "u", .password = Secret("u")}},
                   .script = {.option = "prepare-script",
                              .script = folder / "prepare.sh",
                              .timeout = std::chrono::seconds(9),
                              .shell = "sh"},
                   .scripts = {.shell = "bash"},
                   .jobsdir = folder / "jobs"},
         .resources = resources(),
         .images = JobImages({.images = store,
                              .registry = registry,
                              .metrics = metrics,
                              .clock = clock,
                              .reporter = reporter}),
         .seeds = CloudSeeds({.rules = {},
                              .environment = {},
                              .clock = clock,
                              .cancellation = cancellation,
                              .reporter = reporter}),
         .admission = Admission({.rules = {.timeout = std::chrono::seconds(9), .jobsdir = folder / "jobs"},
                                 .memory = [](const auto&) { return std::nullopt; },
                                 .discard_leftovers = [] {},
                                 .clock = clock,
                                 .cancellation = cancellation,
                                 .reporter = reporter}),
         .runners = GuestRunners({.rules = {},
                                  .environment = {},
                                  .clock = clock,
                                  .cancellation = cancellation,
                                  .reporter = reporter}),
         .starter = VmStarter({.shape = {},
                               .networks = JobNetworks({.rules = {.wanted = network},
                                                        .environment = environment,
                                                        .hypervisor = source,
                                                        .clock = clock,
                                                        .cancellation = cancellation,
                                                        .reporter = reporter}),
                               .hypervisor = source,
                               .clock = clock,
                               .reporter = reporter}),
         .door = door(),
         .machines = source,
         .first_question = std::launch::deferred,
         .metrics = metrics,
         .clock = clock,
         .cancellation = cancellation,
         .reporter = reporter})
        .run(job);
  }

  ScriptOutcome run_script() {
    return RunStage({.resources = resources(),
                     .door = door(),
                     .machines = [this]() -> Machines& { return hypervisor; },
                     .clock = clock,
                     .cancellation = cancellation,
                     .reporter = reporter})
        .run(folder / "prepare.sh", "build_script");
  }

  [[nodiscard]] bool has_done(const std::string& call) const {
    return std::ranges::find(steps, call) != steps.end();
  }

  /// No VM, no folder of the job, nothing half unpacked.
  void check_nothing_stays() {
    CHECK(hypervisor.running.empty());
    CHECK(folder_entries(folder / "jobs").empty());
    for (const auto& entry : folder_entries(folder / "vms"))
      CHECK_FALSE(entry.filename().string().starts_with(".incoming"));
  }

  [[nodiscard]] bool has_said(const std::string& part) const {
    return std::ranges::any_of(reporter.lines,
                               [&](const auto& line) { return line.find(part) != std::string::npos; });
  }
};

/// Calls that change something or go outside, in their order.
std::vector<std::string> main_steps(const std::vector<std::string>& steps) {
  std::vector<std::string> main;
  for (const auto& step : steps) {
    for (const auto* one :
         {"list_jobs", "announce", "fetch", "start", "forward_port", "connect", "run_script"})
      if (step == one) main.push_back(step);
  }
  return main;
}

struct Fault {
  const char* what;
  std::function<void()> raise;
  std::function<void(const std::function<void()>&)> check;  ///< that just this comes out
};

const std::vector<Fault>& faults() {
  static const std::vector<Fault> all{
      {"the job's fault", [] { throw Error(Blame::job, "a step failed"); },
       [](const auto& work) { check_error(Blame::job, "a step failed", work); }},
      {"the host's fault", [] { throw Error("a step failed"); },
       [](const auto& work) { check_error(Blame::host, "a step failed", work); }},
      {"no memory", [] { throw std::bad_alloc(); },
       [](const auto& work) { CHECK_THROWS_AS(work(), std::bad_alloc); }},
      {"a file system's error", [] { static_cast<void>(std::filesystem::file_size("/nonexistent")); },
       [](const auto& work) { CHECK_THROWS_AS(work(), std::filesystem::filesystem_error); }},
      {"a cancellation", [] { throw Cancelled("stopped by a signal"); },
       [](const auto& work) { CHECK_THROWS_AS(work(), Cancelled); }}};
  return all;
}

}  // namespace

TEST_CASE("prepare: from the image to a VM that lets us in, and the record last") {
  Bench bench;
  bool was_recorded = false;
  bench.guest.runs = [&](const GuestScript& script) {
    was_recorded = bench.job_folder.is_prepared();
    CHECK(script.content == "true\n");
    return ScriptExited{0};
  };
  bench.prepare();
  CHECK(main_steps(bench.steps) == std::vector<std::string>{"list_jobs", "announce", "fetch", "start",
                                                            "forward_port", "connect", "run_script"});
  CHECK_FALSE(was_recorded);
  const auto record = bench.job_folder.read();
  REQUIRE(record);
  CHECK(record->host_key == "ssh-ed25519 AAAA");
  CHECK(record->username == "u");
  CHECK(record->shell == "bash");
  CHECK(bench.hypervisor.running == std::set{bench.name.text()});
}

TEST_CASE("prepare: whatever fails at whatever step, what was made goes, and the failure is told as it was") {
  std::size_t count = 0;
  {
    Bench bench;
    bench.prepare();
    count = bench.steps.size();
  }
  REQUIRE(count > 12);
  for (std::size_t step = 0; step < count; ++step) {
    for (const auto& fault : faults()) {
      Bench bench;
      bench.failing = step;
      bench.fail = fault.raise;
      const auto work = [&] { bench.prepare(); };
      const bool is_about_others = step == 0;  // list_jobs: what other jobs left is no fault of this one
      if (is_about_others && std::string_view(fault.what) != "a cancellation") {
        CHECK_NOTHROW(work());
        CHECK(bench.job_folder.is_prepared());
        continue;
      }
      CAPTURE(fault.what);
      CAPTURE(step);
      fault.check(work);
      CAPTURE(bench.steps[step]);
      bench.check_nothing_stays();
      // libvirt is asked to end a VM only once there may be one.
      const auto start = std::ranges::find(bench.steps, "start");
      CHECK(bench.has_done("destroy") == (start != bench.steps.end()));
    }
  }
}

TEST_CASE("prepare: what an earlier try of the same job left goes first") {
  Bench bench;
  bench.prepare();
  bench.steps.clear();
  bench.prepare();
  const auto destroyed = std::ranges::find(bench.steps, "destroy");
  REQUIRE(destroyed != bench.steps.end());
  CHECK(destroyed < std::ranges::find(bench.steps, "start"));
  CHECK(bench.job_folder.is_prepared());
}

TEST_CASE("prepare: a rollback that fails keeps the folder, which names the VM, and the first failure") {
  Bench bench;
  bench.hypervisor.refuses_to_destroy = true;
  bench.guest.refuses = [] {
    return ConnectProblem{ConnectProblem::Kind::login_refused, "refuses user 'u'"};
  };
  check_error(Blame::job, "refuses user 'u'", [&] { bench.prepare(); });
  CHECK(bench.job_folder.expects_vm());
  CHECK(bench.has_said("libvirt is away"));
}

TEST_CASE("prepare: whose fault it is") {
  Bench bench;
  SUBCASE("an image that is not there is the job's") {
    bench.job.image = "h.example/vms/a:none";
    bench.registry.step = [](const std::string&) { throw Error(Blame::job, "no such image"); };
    check_error(Blame::job, "no such image", [&] { bench.prepare(); });
  }
  SUBCASE("no image at all is the job's") {
    bench.job.image.clear();
    check_error(Blame::job, "names no image", [&] { bench.prepare(); });
  }
  SUBCASE("a pull policy that is not allowed is the job's") {
    bench.job.pull_policies = {"never"};
    check_error(Blame::job, "allows only 'always'", [&] { bench.prepare(); });
  }
  SUBCASE("a guest that never answers is the host's, and its console is shown") {
    bench.guest.refuses = [] {
      return ConnectProblem{ConnectProblem::Kind::unreachable, "connection refused"};
    };
    check_error(Blame::host, "last: connection refused", [&] { bench.prepare(); });
    CHECK(bench.has_said("serial console"));
  }
  SUBCASE("a prepare-script that fails is the host's") {
    bench.guest.runs = [](const GuestScript&) { return ScriptExited{3}; };
    check_error(Blame::host, "ended with exit code 3", [&] { bench.prepare(); });
  }
  SUBCASE("an address that does not come is the host's") {
    bench.network = "default";
    check_error(Blame::host, "wait for the address", [&] { bench.prepare(); });
  }
  bench.check_nothing_stays();
}

TEST_CASE("prepare: on a bridge the VM is held to the address that it gets") {
  Bench bench;
  bench.network = "default";
  bench.hypervisor.known_addresses = {"192.0.2.7"};
  bench.prepare();
  CHECK(bench.hypervisor.held_to == "192.0.2.7");
  CHECK(bench.job_folder.read()->address == "192.0.2.7");
}

TEST_CASE("run: a script in the prepared VM, and what is said where there is none") {
  Bench bench;
  check_error(Blame::host, "this job has no VM", [&] { bench.run_script(); });
  bench.prepare();
  SUBCASE("its outcome is the answer") {
    bench.guest.runs = [](const GuestScript&) { return ScriptExited{42}; };
    CHECK(std::get<ScriptExited>(bench.run_script()).code == 42);
  }
  SUBCASE("a VM that is gone is told from a server that does not answer") {
    bench.guest.refuses = [] {
      return ConnectProblem{ConnectProblem::Kind::unreachable, "connection refused"};
    };
    check_error(Blame::host, "wait for the SSH server", [&] { bench.run_script(); });
    bench.hypervisor.running.clear();
    check_error(Blame::host, "the VM is gone", [&] { bench.run_script(); });
  }
  SUBCASE("a connection that breaks says whether the VM is gone") {
    bench.guest.runs = [&](const GuestScript&) -> ScriptOutcome {
      bench.hypervisor.running.clear();
      throw Error("the connection was lost");
    };
    check_error(Blame::host, "the connection was lost; the VM is gone", [&] { bench.run_script(); });
  }
  SUBCASE("the job's fault stays the job's") {
    bench.guest.runs = [](const GuestScript&) -> ScriptOutcome { throw Error(Blame::job, "too much"); };
    check_error(Blame::job, "too much", [&] { bench.run_script(); });
  }
  SUBCASE("a stop keeps the VM") {
    bench.guest.runs = [](const GuestScript&) { return ScriptStopped{}; };
    CHECK(std::holds_alternative<ScriptStopped>(bench.run_script()));
    CHECK(bench.hypervisor.running.size() == 1);
    CHECK(bench.has_said("the VM was kept"));
  }
}

TEST_CASE("cleanup: the VM and the folder go, once and for all; what cannot go is said and stays known") {
  Bench bench;
  clean_up(bench.resources(), {}, "", bench.clock, bench.reporter);
  CHECK(bench.steps.empty());
  bench.prepare();
  bench.hypervisor.refuses_to_destroy = true;
  check_error(Blame::host, "libvirt is away",
              [&] { clean_up(bench.resources(), {}, "", bench.clock, bench.reporter); });
  CHECK(bench.job_folder.expects_vm());
  bench.hypervisor.refuses_to_destroy = false;
  clean_up(bench.resources(), {}, "", bench.clock, bench.reporter);
  bench.check_nothing_stays();
  clean_up(bench.resources(), {}, "", bench.clock, bench.reporter);
}
