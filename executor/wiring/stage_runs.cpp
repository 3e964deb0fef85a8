#include "executor/wiring/stage_runs.hpp"

#include <algorithm>
#include <iostream>
#include <iterator>
#include <unistd.h>

#include "config/runner_file.hpp"
#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/guest/identity_file.hpp"
#include "core/guest/ssh_guest_shell.hpp"
#include "core/job/job_environment.hpp"
#include "core/system/files.hpp"
#include "core/system/host_size.hpp"
#include "core/system/process_identity.hpp"
#include "core/system/virtiofsd_place.hpp"
#include "core/vm/hypervisor_loader.hpp"
#include "executor/commands/local_image.hpp"
#include "executor/commands/ssh_command.hpp"
#include "executor/job/disk_watch.hpp"
#include "executor/job/leftovers.hpp"
#include "executor/stages/cleanup_stage.hpp"
#include "executor/stages/config_stage.hpp"
#include "executor/stages/prepare_stage.hpp"
#include "executor/stages/run_stage.hpp"
#include "executor/wiring/wiring.hpp"

namespace sarde {

namespace {

JobResources resources_of(Wiring& wiring, const Job& job) {
  const auto name = VmName::of_job(job.id, job.distinction);
  return {name, JobFolder(wiring.values().get<"jobsdir">() / name.text()), wiring.hypervisor()};
}

GuestDoor guest_door(Wiring& wiring, std::chrono::milliseconds boot_timeout) {
  const auto& values = wiring.values();
  return GuestDoor({.address_timeout = values.get<"address-timeout">().value(),
                    .boot_timeout = boot_timeout,
                    .login_grace = values.get<"login-grace">().value(),
                    .hypervisor = wiring.hypervisor(),
                    .connect =
                        [&wiring](const SshTarget& target, const ConnectLimits& limits) {
                          return connect_ssh(target, limits, wiring.clock(), wiring.cancellation());
                        },
                    .clock = wiring.clock(),
                    .cancellation = wiring.cancellation(),
                    .reporter = wiring.reporter()});
}

GuestDoor guest_door(Wiring& wiring) {
  return guest_door(wiring, wiring.values().get<"boot-timeout">().value());
}

JobNetworks job_networks(Wiring& wiring) {
  return JobNetworks({.rules = network_rules(wiring.values()),
                      .environment = wiring.environment(),
                      .hypervisor = wiring.hypervisor(),
                      .clock = wiring.clock(),
                      .cancellation = wiring.cancellation(),
                      .reporter = wiring.reporter()});
}

ShapeRules::Size size_of(const Share& share) {
  return {.is_share = share.is_auto, .number = share.number};
}

/// The words of the command line of the gitlab-runner that has called this stage; none if that is unknown.
std::vector<std::string> command_line_of_runner(const Wiring& wiring) {
  const auto runner = wiring.job_if_any() ? starter_of_our_group() : std::nullopt;
  return runner ? command_line_of(runner->pid) : std::vector<std::string>();
}

ShapeRules shape_rules(const Wiring& wiring) {
  const auto& values = wiring.values();
  const auto memory = size_of(values.get<"memory">());
  const auto vcpus = size_of(values.get<"vcpus">());
  const auto type = values.get<"virt-type">();
  return {.virt_type = type == "kvm"    ? std::optional(VirtType::kvm)
                       : type == "qemu" ? std::optional(VirtType::qemu)
                                        : std::nullopt,
          .memory_mib = memory,
          .vcpus = vcpus,
          .host = host_size(),
          .concurrency = memory.is_share || vcpus.is_share ? concurrency(wiring) : 1,
          .disk_size = values.get<"disk-size">(),
          .scratch_disk = values.get<"scratch-disk">(),
          .max_disk_size = values.get<"max-disk-size">(),
          .network_limit = values.get<"network-limit">(),
          .disk_limit = values.get<"disk-limit">(),
          .nested = values.get<"nested">(),
          .timezone = values.get<"timezone">(),
          .max_memory_mib = values.get<"max-memory">(),
          .max_vcpus = values.get<"max-vcpus">(),
          .allowed_devices = values.get<"allow-devices">()};
}

Admission admission(Wiring& wiring) {
  const auto& values = wiring.values();
  const auto jobsdir = values.get<"jobsdir">();
  return Admission({.rules = {.max_vms = values.get<"max-vms">(),
                              .overcommit = values.get<"memory-overcommit">(),
                              .timeout = values.get<"admission-timeout">().value(),
                              .jobsdir = jobsdir},
                    .memory = [hypervisor = wiring.hypervisor()](
                                  const std::vector<std::string>& vms) -> std::optional<HostMemory> {
                      if (!hypervisor().is_local()) return std::nullopt;
                      return host_memory(vms);
                    },
                    .discard_leftovers =
                        [&wiring, jobsdir] {
                          discard_leftovers(wiring.hypervisor(), jobsdir, wiring.clock(), wiring.reporter());
                        },
                    .clock = wiring.clock(),
                    .cancellation = wiring.cancellation(),
                    .reporter = wiring.reporter()});
}

GuestRunners guest_runners(Wiring& wiring) {
  const auto& values = wiring.values();
  const auto wanted = values.get<"guest-runner">();
  const auto starter = starter_of_our_group();
  return GuestRunners(
      {.rules = {.wanted = wanted,
                 .of_host = wanted == "auto" ? runner_of_host(starter ? starter->pid : 0,
                                                              wiring.environment().get("PATH").value_or(""))
                                             : std::filesystem::path(),
                 .cache = values.get<"vmdir">() / ".guest-runner",
                 .shell = values.get<"shell">(),
                 .timeout = values.get<"boot-timeout">().value()},
       .environment = wiring.environment_of_helpers().list(),
       .clock = wiring.clock(),
       .cancellation = wiring.cancellation(),
       .reporter = wiring.reporter()});
}

/// virtiofs needs a libvirt that runs as root on this machine, and virtiofsd.
MountRules mount_rules(const Values& values) {
  const bool has_virtiofs = is_root() && !virtiofsd_place().empty();
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  return {.mounts = values.get<"mounts">(),
          .builds_dir = values.get<"builds-dir">(),
          .cache_dir = values.get<"cache-dir">(),
          .guest_builds_dir = values.get<"guest-builds-dir">(),
          .guest_cache_dir = values.get<"guest-cache-dir">(),
          .all_projects = values.get<"shared-dirs">(),
          .type = has_virtiofs ? ShareType::virtiofs : ShareType::p9,
          .read_only_server = program.parent_path() / "sarde-virtiofsd"};
}

CloudRules cloud_rules(const Values& values) {
  const auto when = values.get<"guest-setup">();
  return {.when = when == "cloud-init" ? CloudRules::When::always
                  : when == "agent"    ? CloudRules::When::agent
                  : when == "none"     ? CloudRules::When::never
                                       : CloudRules::When::if_image_says,
          .user_data = values.get<"cloud-init-user-data">()};
}

PrepareStage::Rules prepare_rules(Wiring& wiring, const std::optional<JobOwner>& owner) {
  const auto& values = wiring.values();
  if (const auto key = values.get<"identity-file">(); !key.empty())
    static_cast<void>(read_identity_file(key));
  return {.image = image_rules(values),
          .login = {.of_image = partial_login(values.of_image()),
                    .otherwise = partial_login(values.of_others()),
                    .identity_file = values.get<"identity-file">(),
                    .use_agent = values.get<"ssh-agent">(),
                    .ssh_port = values.get<"ssh-port">(),
                    .algorithms = values.get<"ssh-algorithms">() == "legacy" ? SshAlgorithms::legacy
                                                                             : SshAlgorithms::modern},
          .script = {.option = "prepare-script",
                     .script = values.get<"prepare-script">(),
                     .timeout = values.get<"prepare-script-timeout">().value(),
                     .shell = values.get<"shell">(),
                     .variables = wiring.job().public_variables},
          .scripts = {.shell = values.get<"shell">(), .timezone = values.get<"timezone">()},
          .mounts = mount_rules(values),
          .warm = {.is_wanted = values.get<"warm">() == "auto",
                   .passt = find_program("passt", wiring.environment()),
                   .max_age = values.get<"warm-max-age">().value(),
                   .shell = values.get<"shell">()},
          .max_job_disk = values.get<"max-job-disk">().value_or(UINT64_MAX),
          .boot_timeout = values.get<"boot-timeout">().value(),
          .jobsdir = values.get<"jobsdir">(),
          .vmdir = values.get<"vmdir">(),
          .owner = owner,
          .keeps_connection = values.get<"keep-connection">(),
          .environment = wiring.environment_of_helpers().list()};
}

}  // namespace

unsigned concurrency(const Wiring& wiring) {
  if (const auto given = wiring.values().get<"concurrency">()) return *given;
  const auto path = runner_file_path(command_line_of_runner(wiring), wiring.environment(), is_root());
  const auto file = read_runner_file(path);
  return file ? file->concurrent : 1;
}

PartialLogin partial_login(const Values& values) {
  PartialLogin login;
  if (values.has<"username">()) login.username = values.get<"username">();
  if (values.has<"password">()) login.password = Secret(values.get<"password">());
  return login;
}

int run_config(Wiring& wiring) {
  const auto& values = wiring.values();
  return wiring.print(config_answer({.builds = values.get<"guest-builds-dir">(),
                                     .cache = values.get<"guest-cache-dir">(),
                                     .shell = values.get<"shell">(),
                                     .keeps_builds = !values.get<"builds-dir">().empty()},
                                    wiring.job_if_any()));
}

namespace {

/// Nothing where VMs start when their images are there. Only such a VM's state can be saved.
std::optional<LazyImages> lazy_images(Wiring& wiring, bool wants_state) {
  const auto& wanted = wiring.values().get<"lazy">();
  if (wanted == "off" || wants_state) return std::nullopt;
  return LazyImages({.when = wanted == "always" ? Laziness::always : Laziness::automatic,
                     .images = wiring.images(),
                     .order = {.connect = wiring.values().get<"connect">(),
                               .store = wiring.store_settings(),
                               .registry = wiring.registry_settings()},
                     .environment = wiring.environment_of_helpers().list(),
                     .clock = wiring.clock(),
                     .cancellation = wiring.cancellation(),
                     .reporter = wiring.reporter()});
}

/// `wants_state`: the VM's state is to be saved; `renewal`: a new state is saved, even if there is one.
VmStart prepare(Wiring& wiring, const std::optional<JobOwner>& owner, bool wants_state = false,
                bool renewal = false) {
  auto rules = prepare_rules(wiring, owner);
  rules.warm.is_renewed = renewal;
  return PrepareStage(
             {.rules = std::move(rules),
              .resources = resources_of(wiring, wiring.job()),
              .images = JobImages({.images = wiring.images(),
                                   .registry = wiring.registry(),
                                   .metrics = wiring.metrics(),
                                   .clock = wiring.clock(),
                                   .reporter = wiring.reporter(),
                                   .allowed_devices = wiring.values().get<"allow-devices">(),
                                   .image_of_vm =
                                       [&wiring](const std::string& vm, const ImageReference& repository) {
                                         return image_of_local_vm(tools_of(wiring), vm, repository,
                                                                  wiring.threads());
                                       },
                                   .keep_blobs = wiring.values().get<"keep-blobs">(),
                                   .manifest_ttl = wiring.values().get<"manifest-ttl">(),
                                   .lazy = lazy_images(wiring, wants_state)}),
              .seeds = CloudSeeds({.rules = cloud_rules(wiring.values()),
                                   .environment = wiring.environment_of_helpers().list(),
                                   .clock = wiring.clock(),
                                   .cancellation = wiring.cancellation(),
                                   .reporter = wiring.reporter()}),
              .admission = admission(wiring),
              .runners = guest_runners(wiring),
              .starter = VmStarter({.shape = shape_rules(wiring),
                                    .networks = job_networks(wiring),
                                    .hypervisor = wiring.hypervisor(),
                                    .clock = wiring.clock(),
                                    .reporter = wiring.reporter()}),
              .door = guest_door(wiring),
              .machines = wiring.hypervisor(),
              .metrics = wiring.metrics(),
              .clock = wiring.clock(),
              .cancellation = wiring.cancellation(),
              .reporter = wiring.reporter()})
      .run(wiring.job());
}

RunStage run_stage(Wiring& wiring) {
  auto keep = wiring.values().get<"keep-on-failure">();
  if (keep) keep = std::min(*keep, wiring.values().get<"max-keep">().value());
  return RunStage({.keep_on_failure = keep,
                   .job_id = wiring.job().id,
                   .resources = resources_of(wiring, wiring.job()),
                   .door = guest_door(wiring),
                   .machines = wiring.hypervisor(),
                   .environment = wiring.environment_of_helpers().list(),
                   .clock = wiring.clock(),
                   .cancellation = wiring.cancellation(),
                   .reporter = wiring.reporter()});
}

/// If this process is killed, the next job finds out that nobody needs the VM.
std::optional<JobOwner> owner_by_hand() {
  auto self = identity_of(::getpid());
  if (!self) return std::nullopt;
  return JobOwner{.runner = std::move(*self), .response_file = {}};
}

/// The script that `try` is to run; nothing if somebody at a terminal gets a shell.
std::optional<std::string> script_to_try(const Wiring& wiring) {
  const auto& words = wiring.invocation().arguments;
  const auto file = wiring.values().get<"script">();
  if (words.size() > 1 && !file.empty())
    throw Error(Blame::job, "try: a command and --script are both given; one of them can be run");
  constexpr std::uint64_t largest_script = 256U << 20U;
  if (!file.empty()) return read_file(file, largest_script);
  if (words.size() > 1) {
    std::vector<std::string> quoted;
    for (std::size_t i = 1; i < words.size(); ++i)
      quoted.push_back(words.size() == 2 ? words[i] : shell_quoted(words[i]));
    return join(quoted, " ") + "\n";
  }
  if (::isatty(STDIN_FILENO) == 1) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(std::cin), {});
}

}  // namespace

namespace {

/// VMs of jobs whose folders are here.
unsigned running_vms(const std::filesystem::path& jobsdir) {
  const auto folders = folder_entries(jobsdir);
  return static_cast<unsigned>(std::ranges::count_if(folders, [](const auto& path) {
    return VmName::parse(path.filename().string()) && JobFolder(path).expects_vm();
  }));
}

/// The administrator's last words to the VM. A guest that does not answer is not waited for longer than its
/// script might take.
void run_post_script(Wiring& wiring) {
  const auto& values = wiring.values();
  AdminScript script{.option = "post-script",
                     .script = values.get<"post-script">(),
                     .timeout = values.get<"post-script-timeout">().value(),
                     .variables = wiring.job().public_variables};
  if (script.script.empty()) return;
  if (const auto status = wiring.environment().get("CUSTOM_ENV_CI_JOB_STATUS"))
    script.variables.emplace_back("CI_JOB_STATUS", *status);
  const auto resources = resources_of(wiring, wiring.job());
  const auto record = resources.folder().read();
  if (!record) return;
  script.shell = record->shell;
  script.environment = {.timezone = record->timezone, .folder = record->path_folder};
  auto door = guest_door(wiring, script.timeout);
  const auto shell = door.reopen(resources.name().text(), *record);
  DiskWatch disks(resources, {.limit = record->disk_limit, .room = record->room}, wiring.hypervisor(),
                  wiring.clock());
  run_admin_script(
      *shell, script, [&] { disks.look(); }, wiring.clock(), wiring.cancellation(), wiring.reporter());
}

/// What cannot be written is no reason for a job to fail.
void write_metrics(Wiring& wiring) {
  const auto file = wiring.values().get<"metrics-file">();
  if (file.empty()) return;
  try {
    Cancellation never;  // a stage that was stopped is counted too
    wiring.metrics().write_to(file, running_vms(wiring.values().get<"jobsdir">()), wiring.clock(), never);
  } catch (const Error& error) {
    wiring.reporter().warn(std::string("WARNING: ") + error.what());
  }
}

/// Runs a stage, and writes down what happened however it ends.
template <typename Work>
int counted(Wiring& wiring, std::string_view stage, Work work) {
  const auto fail = [&](std::string_view kind) {
    wiring.metrics().failed(stage, kind);
    write_metrics(wiring);
  };
  try {
    const int code = work();
    write_metrics(wiring);
    return code;
  } catch (const Cancelled&) {
    fail("stopped");
    throw;
  } catch (const Error& error) {
    fail(error.blame() == Blame::job ? "job" : "host");
    throw;
  } catch (...) {
    fail("host");
    throw;
  }
}

}  // namespace

int run_prepare(Wiring& wiring) {
  return counted(wiring, "prepare", [&] {
    prepare(wiring, owner_of_job(wiring.environment()));
    return 0;
  });
}

int run_warm(Wiring& wiring) {
  const auto image = wiring.invocation().argument(0);
  if (wiring.values().get<"warm">() == "off")
    throw Error(Blame::job, "warm " + image + ": the settings say that every VM boots (warm = \"off\")");
  const auto start = [&](bool renewal) {
    const auto resources = resources_of(wiring, wiring.job());
    const Rollback undo(resources, wiring.reporter());
    return prepare(wiring, owner_by_hand(), true, renewal);
  };
  if (start(true) != VmStart::saved)
    throw Error(Blame::job, "warm " + image +
                                ": no state was saved; the lines above say why, unless another process is "
                                "at work on one");
  if (start(false) != VmStart::continued)
    throw Error(Blame::job, "warm " + image + ": VMs of this image boot; the lines above say why");
  return 0;
}

int run_try(Wiring& wiring) {
  const auto script = script_to_try(wiring);
  prepare(wiring, owner_by_hand());
  const auto resources = resources_of(wiring, wiring.job());
  const Rollback undo(resources, wiring.reporter());
  if (!script)
    return log_into_job({.vm = resources.name().text(), .folder = resources.folder()},
                        {.environment = wiring.environment().list()});
  const auto file = resources.folder().path() / "script";
  write_file(file, *script, 0600);
  const auto outcome = run_stage(wiring).run(file, "try");
  if (std::holds_alternative<ScriptStopped>(outcome)) wiring.cancellation().check();
  const auto* exited = std::get_if<ScriptExited>(&outcome);
  constexpr int killed = 128;
  return exited != nullptr ? exited->code : killed;
}

int run_script(Wiring& wiring) {
  wiring.exit_codes().forget_earlier_failure();
  wiring.reporter().detail("stage " + quote(wiring.invocation().argument(1)));
  return counted(wiring, "run", [&] {
    const auto outcome = [&] {
      const ObservedPhase phase(wiring.metrics(), wiring.clock(), "script");
      return run_stage(wiring).run(wiring.invocation().argument(0), wiring.invocation().argument(1));
    }();
    const auto* exited = std::get_if<ScriptExited>(&outcome);
    if (exited == nullptr || exited->code != 0)
      wiring.metrics().failed("run", std::holds_alternative<ScriptStopped>(outcome) ? "stopped" : "script");
    return wiring.exit_codes().of(outcome);
  });
}

int run_cleanup(Wiring& wiring) {
  const auto& job = wiring.job_if_any();
  if (!job) {
    wiring.reporter().detail("there is no job to clean up after");
    return 0;
  }
  return counted(wiring, "cleanup", [&] {
    const ObservedPhase phase(wiring.metrics(), wiring.clock(), "cleanup");
    clean_up(
        resources_of(wiring, *job), [&] { run_post_script(wiring); },
        wiring.environment().get("CUSTOM_ENV_CI_JOB_STATUS").value_or(""), wiring.clock(), wiring.reporter());
    try {
      wiring.images().unpacked.sync_all();  // no job waits for this one any more
    } catch (const Error& error) {
      wiring.reporter().warn(std::string("WARNING: ") + error.what());
    }
    return 0;
  });
}

}  // namespace sarde
