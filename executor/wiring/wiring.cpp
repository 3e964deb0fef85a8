#include "executor/wiring/wiring.hpp"

#include <algorithm>
#include <array>
#include <iostream>
#include <thread>
#include <unistd.h>

#include "config/settings_files.hpp"
#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/image/registry/skopeo_registry.hpp"
#include "core/job/job_environment.hpp"
#include "core/vm/hypervisor_loader.hpp"
#include "executor/wiring/command_table.hpp"
#include "executor/wiring/terminal.hpp"

namespace sarde {

namespace fs = std::filesystem;

NetworkRules network_rules(const Values& values) {
  return {.wanted = values.get<"network">(),
          .is_session = is_session(values.get<"connect">()),
          .is_limited = values.get<"network-limit">().has_value()};
}

bool is_root() {
  return ::geteuid() == 0;
}

std::vector<std::string> names_of_image(const std::string& image) {
  if (image.empty()) return {};
  if (!vm_named_by(image).empty()) return {image};
  try {
    return ImageReference::parse(image).names();
  } catch (const Error&) {
    return {};
  }
}

ImageRules image_rules(const Values& values) {
  return {.default_image = values.get<"default-image">(),
          .aliases = values.get<"aliases">(),
          .allowed_images = values.get<"allow-image">(),
          .denied_images = values.get<"deny-image">(),
          .pull_policies = values.get<"pull-policy">(),
          .allowed_policies = values.get<"allowed-pull-policies">()};
}

CommandTools tools_of(Wiring& wiring) {
  return {.images = wiring.images(),
          .registry = wiring.registry(),
          .hypervisor = wiring.hypervisor(),
          .clock = wiring.clock(),
          .cancellation = wiring.cancellation(),
          .reporter = wiring.reporter(),
          .columns = columns_at(STDOUT_FILENO),
          .helpers = wiring.environment_of_helpers().list()};
}

namespace {

/// Its number is one that GitLab gives to nobody: the time, in milliseconds since 1970.
std::optional<Job> job_by_hand(const std::string& command, const std::string& image, const Clock& clock) {
  constexpr std::int64_t thousand = 1000;
  const auto number = clock.moment().unix_seconds * thousand + ::getpid() % thousand;
  return Job{.id = std::to_string(number),
             .distinction = command,
             .image = image,
             .pull_policies = {},
             .logins = {},
             .project = {},
             .name = command};
}

}  // namespace

Wiring::Wiring(const Invocation& invocation, const Environment& environment, Cancellation& cancellation,
               const ExitCodes& exit_codes)
    : invocation_(invocation),
      environment_(environment),
      helpers_(environment.for_helpers()),
      cancellation_(cancellation),
      exit_codes_(exit_codes),
      job_(is_job_by_hand(invocation.command)
               ? job_by_hand(invocation.command, invocation.argument(0), clock_)
           : is_job_stage(invocation.command) ? job_in(environment)
                                              : std::nullopt),
      sources_(read_sources()),
      values_(sources_, environment, is_root()),
      reporter_(STDERR_FILENO, static_cast<unsigned>(values_.get<"verbosity">()), clock_,
                {.sections = invocation.command == "prepare" && environment.non_empty("JOB_RESPONSE_FILE"),
                 .colours = shows_colours(STDERR_FILENO, environment)}) {
  say_notes();
}

int Wiring::print(const std::string& answer, AnswerKind kind) const {
  if (answer.empty()) return 0;
  constexpr std::size_t any_length = SIZE_MAX;
  const bool has_colours = kind == AnswerKind::verdicts && shows_colours(STDOUT_FILENO, environment_);
  std::vector<std::string> lines;
  for (const auto& one : split(answer, '\n')) {
    const auto line = printable_line(one, any_length);
    lines.push_back(has_colours ? coloured(line) : line);
  }
  std::cout << join(lines, "\n") << std::endl;
  if (!std::cout) throw Error("write the answer to stdout: it is closed, or its disk is full");
  return 0;
}

Values Wiring::values_of(const ValueSources& sources) const {
  return {sources, environment_, is_root()};
}

ValueSources Wiring::read_sources() {
  const auto user = has_job(invocation_.command) ? SettingsUser::job_stage : SettingsUser::command;
  auto found = read_settings_files(environment_, command_names(), user);
  notes_ = std::move(found.notes);
  settings_files_ = std::move(found.files);
  for (const auto& line : complaints_about_variables(environment_)) notes_.push_back("WARNING: " + line);
  ValueSources sources{.file = std::move(found.file),
                       .command = invocation_.command,
                       .command_line = invocation_.options,
                       .image = {}};
  if (job_) {
    sources.image = names_of_image(wanted_image(*job_, image_rules(values_of(sources))));
  }
  // A job's variables must not be able to prevent its cleanup.
  if (job_ && !job_->settings.empty() && invocation_.command != "cleanup") {
    sources.job = job_values(job_->settings, values_of(sources).get<"job-settable">(),
                             [&](const std::string& line) { notes_.push_back("WARNING: " + line); });
  }
  return sources;
}

ValueSources Wiring::sources_of_stages() const {
  auto sources = sources_;
  sources.file = read_settings_files(environment_, command_names(), SettingsUser::job_stage).file;
  return sources;
}

/// gitlab-runner calls several stages for each job. Only one of them reports notes about the files.
void Wiring::say_notes() {
  reporter_.detail("settings: " + (settings_files_.empty() ? "no files" : join(settings_files_, ", ")));
  const bool is_quiet_stage = is_job_stage(invocation_.command) && invocation_.command != "prepare";
  for (const auto& note : notes_) {
    if (is_quiet_stage) {
      reporter_.detail(note);
    } else {
      reporter_.say(note);
    }
  }
}

const Job& Wiring::job() const {
  if (!job_)
    throw Error(
        "there is no job: JOB_RESPONSE_FILE is empty or not set (outside gitlab-runner, set CI_JOB_ID and "
        "CI_JOB_IMAGE)");
  return *job_;
}

Source<Hypervisor> Wiring::hypervisor() {
  return [this]() -> Hypervisor& {
    if (!hypervisor_) hypervisor_ = connect_hypervisor(values_.get<"connect">(), module_folders());
    return *hypervisor_;
  };
}

StoreSettings Wiring::store_settings() {
  return {.ocidir = values_.get<"ocidir">(),
          .vmdir = values_.get<"vmdir">(),
          .threads = threads(),
          .max_image = values_.get<"max-image">(),
          .max_disk = values_.get<"max-disk">(),
          .lock_timeout = values_.get<"fetch-timeout">().value(),
          .announce = [this](const std::string& line) { reporter_.say("  " + line); }};
}

SkopeoSettings Wiring::registry_settings() {
  return {.temporary_folder = values_.get<"ocidir">(),
          .insecure = values_.get<"insecure">(),
          .insecure_registries = values_.get<"insecure-registries">(),
          .authfile = values_.get<"authfile">(),
          .signature_policy = values_.get<"signature-policy">(),
          .platform = values_.get<"platform">(),
          .timeout = values_.get<"fetch-timeout">().value(),
          .announce = [this](const std::string& line) { reporter_.warn("WARNING: " + line); },
          .detail = [this](const std::string& line) { reporter_.detail(line); }};
}

const ImageStore& Wiring::images() {
  if (!images_) images_ = std::make_unique<ImageStore>(store_settings(), clock_, cancellation_);
  return *images_;
}

Registry& Wiring::registry() {
  if (!registry_) registry_ = make_skopeo_registry(registry_settings(), helpers_, clock_, cancellation_);
  return *registry_;
}

unsigned Wiring::threads() const {
  return values_.get<"threads">().value_or(std::clamp(std::thread::hardware_concurrency(), 1U, 16U));
}

int run_invocation(const Invocation& invocation, const Environment& environment, Cancellation& cancellation,
                   const ExitCodes& exit_codes) {
  Wiring wiring(invocation, environment, cancellation, exit_codes);
  if (wiring.values().get<"no-run">()) return 0;
  constexpr std::array<std::string_view, 5> makers{"export", "fetch", "import", "pull", "clone"};
  try {
    return find_command(invocation.command)->run(wiring);
  } catch (const Cancelled& cancelled) {
    if (std::ranges::find(makers, invocation.command) == makers.end()) throw;
    throw Cancelled(std::string(cancelled.what()) + "; no image and no VM is left half made",
                    cancelled.signal());
  }
}

}  // namespace sarde
