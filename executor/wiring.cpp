#include "executor/wiring.hpp"

#include <algorithm>
#include <iostream>
#include <memory>
#include <thread>
#include <unistd.h>

#include "config/settings.hpp"
#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/image/registry/skopeo_registry.hpp"
#include "core/image/store/image_store.hpp"
#include "core/job/job_environment.hpp"
#include "core/vm/hypervisor_loader.hpp"
#include "executor/commands/clone_command.hpp"
#include "executor/commands/export_command.hpp"
#include "executor/commands/gc_command.hpp"
#include "executor/commands/import_command.hpp"
#include "executor/commands/inspect_command.hpp"
#include "executor/commands/list_command.hpp"
#include "executor/commands/login_command.hpp"
#include "executor/commands/prune_command.hpp"
#include "executor/commands/selftest_command.hpp"
#include "executor/commands/settings_command.hpp"
#include "executor/commands/transfer_commands.hpp"
#include "executor/console_reporter.hpp"
#include "executor/stages/cleanup_stage.hpp"
#include "executor/stages/config_stage.hpp"
#include "executor/stages/prepare_stage.hpp"
#include "executor/stages/run_stage.hpp"

namespace sarde {

namespace fs = std::filesystem;

namespace {

bool is_job_stage(const std::string& command) {
  return command == "config" || command == "prepare" || command == "run" || command == "cleanup";
}

/// The real parts, each made when it is first asked for.
class Wiring {
 public:
  Wiring(const Invocation& invocation, const Environment& environment, Cancellation& cancellation,
         const ExitCodes& exit_codes)
      : invocation_(invocation),
        environment_(environment),
        helpers_(environment.for_helpers()),
        cancellation_(cancellation),
        exit_codes_(exit_codes),
        job_(is_job_stage(invocation.command) ? job_in(environment) : std::nullopt),
        sources_(read_sources()),
        settings_(resolve_settings(sources_, environment_, is_root())),
        reporter_(STDERR_FILENO, settings_.verbosity, clock_) {}

  int run() {
    say_notes();
    if (settings_.no_run) return 0;
    const auto& command = invocation_.command;
    if (command == "config") return print(config_answer(settings_, job_));
    if (command == "prepare") return prepare();
    if (command == "run") return run_script();
    if (command == "cleanup") return clean_up_job();
    return run_command();
  }

 private:
  /// An empty answer is none.
  static int print(const std::string& line) {
    if (line.empty()) return 0;
    constexpr std::size_t any_length = SIZE_MAX;
    std::vector<std::string> lines;
    for (const auto& one : split(line, '\n')) lines.push_back(printable_line(one, any_length));
    std::cout << join(lines, "\n") << std::endl;
    if (!std::cout) throw Error("write the answer to stdout: it is closed, or its disk is full");
    return 0;
  }

  static bool is_root() { return ::geteuid() == 0; }

  [[nodiscard]] SettingsSources read_sources() {
    const auto user = is_job_stage(invocation_.command) ? SettingsUser::job_stage : SettingsUser::command;
    auto found = read_settings_files(environment_, command_names(), user);
    notes_ = std::move(found.notes);
    SettingsSources sources{.file = std::move(found.file),
                            .command = invocation_.command,
                            .command_line = invocation_.options,
                            .image = {}};
    if (job_) {
      const auto& own = job_->image;
      sources.image = names_of(own.empty() ? resolve_settings(sources, environment_, is_root()).image : own);
    }
    // What has been made must go, whatever the job says.
    if (job_ && !job_->settings.empty() && invocation_.command != "cleanup") {
      sources.job =
          job_values(job_->settings, resolve_settings(sources, environment_, is_root()).job_settable,
                     [&](const std::string& line) { notes_.push_back("WARNING: " + line); });
    }
    return sources;
  }

  /// All names by which an image's section may call it. What is no image's name has no section; `prepare`
  /// refuses it.
  static std::vector<std::string> names_of(const std::string& image) {
    if (image.empty()) return {};
    try {
      return ImageReference::parse(image).names();
    } catch (const Error&) {
      return {};
    }
  }

  /// gitlab-runner calls several stages a job: one of them speaks of the files.
  void say_notes() {
    const bool is_quiet_stage = is_job_stage(invocation_.command) && invocation_.command != "prepare";
    for (const auto& note : notes_) {
      if (is_quiet_stage) {
        reporter_.detail(note);
      } else {
        reporter_.say(note);
      }
    }
  }

  [[nodiscard]] const Job& job() const {
    if (!job_)
      throw Error(
          "there is no job: JOB_RESPONSE_FILE is empty or not set (outside gitlab-runner, set CI_JOB_ID and "
          "CI_JOB_IMAGE)");
    return *job_;
  }

  Hypervisor& hypervisor() {
    if (!hypervisor_) {
      std::error_code error;
      const auto folder = fs::read_symlink("/proc/self/exe", error).parent_path();
      hypervisor_ =
          connect_hypervisor(settings_.connect, {folder, folder.parent_path() / "lib" / "sarde-executor"});
    }
    return *hypervisor_;
  }

  Source<Hypervisor> hypervisor_source() {
    return [this]() -> Hypervisor& { return hypervisor(); };
  }

  JobResources resources_of(const Job& job) {
    const auto name = VmName::of_job(job.id, job.distinction);
    return {name, JobFolder(settings_.jobsdir / name.text()), hypervisor_source()};
  }

  ImageStore image_store() {
    return {{.ocidir = settings_.ocidir,
             .vmdir = settings_.vmdir,
             .threads = threads(),
             .max_image = settings_.max_image,
             .max_disk = settings_.max_disk,
             .lock_timeout = settings_.fetch_timeout,
             .announce = [this](const std::string& line) { reporter_.say("  " + line); }},
            clock_,
            cancellation_};
  }

  std::unique_ptr<Registry> registry() {
    return make_skopeo_registry({.temporary_folder = settings_.ocidir,
                                 .insecure = settings_.insecure,
                                 .insecure_registries = settings_.insecure_registries,
                                 .authfile = settings_.authfile,
                                 .signature_policy = settings_.signature_policy,
                                 .timeout = settings_.fetch_timeout},
                                helpers_, clock_, cancellation_);
  }

  static unsigned threads() { return std::clamp(std::thread::hardware_concurrency(), 1U, 16U); }

  GuestDoor guest_door() {
    return GuestDoor({.address_timeout = settings_.address_timeout,
                      .boot_timeout = settings_.boot_timeout,
                      .hypervisor = hypervisor_source(),
                      .connect =
                          [this](const SshTarget& target, const ConnectLimits& limits) {
                            return connect_ssh(target, limits, clock_, cancellation_);
                          },
                      .clock = clock_,
                      .cancellation = cancellation_,
                      .reporter = reporter_});
  }

  JobNetworks job_networks() {
    return JobNetworks({.wanted = settings_.network,
                        .is_session = settings_.connect.find("/session") != std::string::npos,
                        .environment = environment_,
                        .hypervisor = hypervisor_source(),
                        .clock = clock_,
                        .cancellation = cancellation_,
                        .reporter = reporter_});
  }

  [[nodiscard]] ShapeRules shape_rules() const {
    return {.virt_type = settings_.virt_type == "kvm"    ? std::optional(VirtType::kvm)
                         : settings_.virt_type == "qemu" ? std::optional(VirtType::qemu)
                                                         : std::nullopt,
            .memory_mib = settings_.memory_mib,
            .vcpus = settings_.vcpus,
            .max_memory_mib = settings_.max_memory_mib,
            .max_vcpus = settings_.max_vcpus,
            .allowed_devices = settings_.allow_devices};
  }

  [[nodiscard]] PrepareStage::Rules prepare_rules() const {
    return {.image = {.default_image = settings_.image,
                      .pull_policy = settings_.pull_policy,
                      .allowed_policies = settings_.allowed_pull_policies},
            .login = {.of_image = {settings_.image_login.username, settings_.image_login.password},
                      .otherwise = {settings_.login.username, settings_.login.password},
                      .identity_file = settings_.identity_file,
                      .ssh_port = settings_.ssh_port == 0 ? std::nullopt : std::optional(settings_.ssh_port)},
            .provision = {.script = settings_.prepare_script,
                          .timeout = settings_.prepare_script_timeout,
                          .shell = settings_.shell},
            .shell = settings_.shell,
            .max_job_disk = settings_.max_job_disk == 0 ? UINT64_MAX : settings_.max_job_disk,
            .jobsdir = settings_.jobsdir,
            .owner = owner_of_job(environment_)};
  }

  int prepare() {
    const auto images = image_store();
    const auto from = registry();
    PrepareStage({.rules = prepare_rules(),
                  .resources = resources_of(job()),
                  .images = JobImages({.images = images,
                                       .registry = *from,
                                       .clock = clock_,
                                       .reporter = reporter_,
                                       .allowed_devices = settings_.allow_devices}),
                  .starter = VmStarter({.shape = shape_rules(),
                                        .networks = job_networks(),
                                        .hypervisor = hypervisor_source(),
                                        .clock = clock_,
                                        .reporter = reporter_}),
                  .door = guest_door(),
                  .machines = hypervisor_source(),
                  .clock = clock_,
                  .cancellation = cancellation_,
                  .reporter = reporter_})
        .run(job());
    return 0;
  }

  int run_script() {
    exit_codes_.forget_earlier_failure();
    reporter_.detail("stage " + quote(invocation_.arguments.at(1)));
    RunStage stage({.resources = resources_of(job()),
                    .door = guest_door(),
                    .machines = hypervisor_source(),
                    .clock = clock_,
                    .cancellation = cancellation_,
                    .reporter = reporter_});
    return exit_codes_.of(stage.run(invocation_.arguments.at(0)));
  }

  int clean_up_job() {
    if (!job_) {
      reporter_.detail("there is no job to clean up after");
      return 0;
    }
    clean_up(resources_of(*job_), reporter_);
    return 0;
  }

  /// Commands and stages may read different files: sardinecake's.
  [[nodiscard]] SettingsSources sources_of_stages() const {
    auto sources = sources_;
    sources.file = read_settings_files(environment_, command_names(), SettingsUser::job_stage).file;
    return sources;
  }

  [[nodiscard]] std::vector<fs::path> jobsdirs() const {
    const auto of_stages = resolve_settings(sources_of_stages(), environment_, is_root()).jobsdir;
    if (of_stages == settings_.jobsdir) return {settings_.jobsdir};
    return {settings_.jobsdir, of_stages};
  }

  [[nodiscard]] std::string argument(std::size_t index) const {
    return index < invocation_.arguments.size() ? invocation_.arguments[index] : "";
  }

  int run_command() {
    const auto images = image_store();
    const auto from = registry();
    const CommandParts parts{.settings = settings_,
                             .environment = helpers_,
                             .images = images,
                             .registry = *from,
                             .hypervisor = hypervisor_source(),
                             .clock = clock_,
                             .cancellation = cancellation_,
                             .reporter = reporter_,
                             .jobsdirs = jobsdirs(),
                             .threads = threads()};
    const auto& command = invocation_.command;
    if (command == "selftest") {
      const auto answer = self_test(parts);
      print(answer.text);
      return answer.all_is_well ? 0 : exit_codes_.of(Blame::host);
    }
    if (command == "login") log_in(parts, argument(0));
    if (command == "logout") log_out(parts, argument(0));
    if (command == "push") push_image(parts, argument(0));
    if (command == "fetch") fetch_image(parts, argument(0));
    if (command == "import") return print(import_image(parts, argument(0)));
    if (command == "pull") return print(pull_image(parts, argument(0)));
    if (command == "export") return print(export_image(parts, argument(0), argument(1)));
    if (command == "clone") return print(clone_vm(parts, argument(0), argument(1)));
    if (command == "list") return print(list_images(parts));
    if (command == "getconfig") return print(config_of_image(parts, argument(0)));
    if (command == "inspect") return print(inspect_image(parts, argument(0)));
    if (command == "rm") return print(remove_image(parts, argument(0)));
    if (command == "prune") return print(prune_images(parts));
    if (command == "gc") return print(collect_garbage(parts));
    if (command == "settings") return print(settings_answer());
    return 0;
  }

  [[nodiscard]] std::string settings_answer() {
    if (argument(0) == "convert") {
      if (argument(1).empty()) throw Error(Blame::job, "settings convert: say the INI file");
      return convert_settings(argument(1), command_names());
    }
    if (!argument(1).empty())
      throw Error(Blame::job, "settings: " + quote(argument(0)) + " and then " + quote(argument(1)) +
                                  ": only 'settings convert FILE.ini' takes two words");
    // For jobs on an image the files count that the stages read, which may be other ones.
    auto sources = argument(0).empty() ? sources_ : sources_of_stages();
    sources.image = names_of(argument(0));
    return show_settings(effective_values(sources, environment_, is_root()), sources.file.commands,
                         settings_.call.json);
  }

  const Invocation& invocation_;
  const Environment& environment_;
  const Environment helpers_;  ///< what programs that are started see of it
  Cancellation& cancellation_;
  const ExitCodes& exit_codes_;
  SystemClock clock_;
  std::optional<Job> job_;
  std::vector<std::string> notes_;
  SettingsSources sources_;
  Settings settings_;
  ConsoleReporter reporter_;
  std::unique_ptr<Hypervisor> hypervisor_;
};

}  // namespace

int run_invocation(const Invocation& invocation, const Environment& environment, Cancellation& cancellation,
                   const ExitCodes& exit_codes) {
  return Wiring(invocation, environment, cancellation, exit_codes).run();
}

}  // namespace sarde
