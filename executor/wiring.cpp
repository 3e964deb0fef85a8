#include "executor/wiring.hpp"

#include <algorithm>
#include <iostream>
#include <memory>
#include <thread>
#include <unistd.h>

#include "config/settings.hpp"
#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/image/image_store.hpp"
#include "core/image/skopeo_registry.hpp"
#include "core/vm/hypervisor_loader.hpp"
#include "executor/commands/image_commands.hpp"
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
        cancellation_(cancellation),
        exit_codes_(exit_codes),
        job_(is_job_stage(invocation.command) ? job_in(environment) : std::nullopt),
        settings_(read_settings()),
        reporter_(STDERR_FILENO, settings_.verbosity) {}

  int run() {
    if (invocation_.no_run) return 0;
    const auto& command = invocation_.command;
    if (command == "config") return print(config_answer(settings_, job_));
    if (command == "prepare") return prepare();
    if (command == "run") return run_script();
    if (command == "cleanup") return clean_up_job();
    return run_command();
  }

 private:
  static int print(const std::string& line) {
    std::cout << line << std::endl;
    if (!std::cout) throw Error("write the answer to stdout: it is closed, or its disk is full");
    return 0;
  }

  [[nodiscard]] Settings read_settings() const {
    SettingsSources sources{.file = read_settings_files(environment_, command_names()),
                            .command = invocation_.command,
                            .command_line = invocation_.options,
                            .image = job_ ? job_->image : ""};
    auto settings = resolve_settings(sources, environment_, ::geteuid() == 0);
    if (job_ && job_->image.empty() && !settings.image.empty()) {
      sources.image = settings.image;
      settings = resolve_settings(sources, environment_, ::geteuid() == 0);
    }
    return settings;
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

  HypervisorSource hypervisor_source() {
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
             .lock_timeout = settings_.fetch_timeout,
             .announce = [this](const std::string& line) { reporter_.say("  " + line); }},
            clock_,
            cancellation_};
  }

  std::unique_ptr<Registry> registry() {
    return make_skopeo_registry({.temporary_folder = environment_.non_empty("TMPDIR").value_or("/tmp"),
                                 .insecure = settings_.insecure,
                                 .insecure_registries = settings_.insecure_registries,
                                 .timeout = settings_.fetch_timeout},
                                environment_, clock_, cancellation_);
  }

  static unsigned threads() { return std::clamp(std::thread::hardware_concurrency(), 1U, 16U); }

  int prepare() {
    const auto images = image_store();
    const auto from = registry();
    PrepareStage({.settings = settings_,
                  .environment = environment_,
                  .images = images,
                  .registry = *from,
                  .hypervisor = hypervisor_source(),
                  .clock = clock_,
                  .cancellation = cancellation_,
                  .reporter = reporter_},
                 resources_of(job()))
        .run(job());
    return 0;
  }

  int run_script() {
    exit_codes_.forget_earlier_failure();
    reporter_.detail("stage " + quote(invocation_.arguments.at(1)));
    RunStage stage({.hypervisor = hypervisor_source(),
                    .clock = clock_,
                    .cancellation = cancellation_,
                    .reporter = reporter_},
                   resources_of(job()));
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

  int run_command() {
    const auto images = image_store();
    const auto from = registry();
    const ImageCommandParts parts{.settings = settings_,
                                  .images = images,
                                  .registry = *from,
                                  .hypervisor = hypervisor_source(),
                                  .clock = clock_,
                                  .cancellation = cancellation_,
                                  .reporter = reporter_,
                                  .threads = threads()};
    const auto& first = invocation_.arguments.at(0);
    const auto id = invocation_.print_uuid ? PrintedId::uuid : PrintedId::name;
    if (invocation_.command == "export") {
      const auto positional = invocation_.arguments.size() > 1 ? invocation_.arguments[1] : invocation_.tag;
      return print(export_image(parts, {.vm = first, .container = positional, .raw = invocation_.raw}));
    }
    if (invocation_.command == "push") push_image(parts, first, invocation_.target);
    if (invocation_.command == "fetch" || invocation_.command == "pull")
      fetch_image(parts, first, invocation_.source);
    if (invocation_.command == "import" || invocation_.command == "pull") {
      return print(import_image(
          parts, {.container = first, .raw = invocation_.raw, .name = invocation_.name, .print = id}));
    }
    return 0;
  }

  const Invocation& invocation_;
  const Environment& environment_;
  Cancellation& cancellation_;
  const ExitCodes& exit_codes_;
  std::optional<Job> job_;
  Settings settings_;
  ConsoleReporter reporter_;
  SystemClock clock_;
  std::unique_ptr<Hypervisor> hypervisor_;
};

}  // namespace

int run_invocation(const Invocation& invocation, const Environment& environment, Cancellation& cancellation,
                   const ExitCodes& exit_codes) {
  return Wiring(invocation, environment, cancellation, exit_codes).run();
}

}  // namespace sarde
