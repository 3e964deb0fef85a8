#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/values.hpp"
#include "core/foundation/source.hpp"
#include "core/image/registry/registry.hpp"
#include "core/image/registry/skopeo_settings.hpp"
#include "core/image/store/image_store.hpp"
#include "core/job/job.hpp"
#include "core/system/cancellation.hpp"
#include "core/system/environment.hpp"
#include "core/vm/hypervisor.hpp"
#include "executor/commands/command_tools.hpp"
#include "executor/job/image_choice.hpp"
#include "executor/job/job_network.hpp"
#include "executor/job/metrics.hpp"
#include "executor/wiring/console_reporter.hpp"
#include "executor/wiring/exit_codes.hpp"
#include "executor/wiring/invocation.hpp"

namespace sarde {

/// Whether the lines of an answer begin with words such as ok and FAILED, which have colours at a terminal.
enum class AnswerKind { plain, verdicts };

/// One call of the program: its option values and the real implementations, each created when first needed.
class Wiring {
 public:
  /// Reads the settings. Throws Error.
  Wiring(const Invocation& invocation, const Environment& environment, Cancellation& cancellation,
         const ExitCodes& exit_codes);

  [[nodiscard]] const Invocation& invocation() const { return invocation_; }

  [[nodiscard]] const Values& values() const { return values_; }

  /// The places that the values come from, for `settings`.
  [[nodiscard]] const ValueSources& sources() const { return sources_; }

  /// The settings files that were read.
  [[nodiscard]] const std::vector<std::string>& settings_files() const { return settings_files_; }

  /// The sources for the stages. sardinecake has different files for commands and for stages.
  [[nodiscard]] ValueSources sources_of_stages() const;

  /// The values that other sources give for the same call.
  [[nodiscard]] Values values_of(const ValueSources& sources) const;

  /// The job; nothing if the program was not called for a job.
  [[nodiscard]] const std::optional<Job>& job_if_any() const { return job_; }

  /// Throws Error if there is no job.
  [[nodiscard]] const Job& job() const;

  Clock& clock() { return clock_; }

  Cancellation& cancellation() { return cancellation_; }

  Reporter& reporter() { return reporter_; }

  /// Prints the answer to stdout, unless it is empty, and returns 0. Throws Error if stdout is closed.
  int print(const std::string& answer, AnswerKind kind = AnswerKind::plain) const;

  Metrics& metrics() { return metrics_; }

  [[nodiscard]] const ExitCodes& exit_codes() const { return exit_codes_; }

  [[nodiscard]] const Environment& environment() const { return environment_; }

  /// The part of the environment that helper programs get.
  [[nodiscard]] const Environment& environment_of_helpers() const { return helpers_; }

  StoreSettings store_settings();
  SkopeoSettings registry_settings();
  const ImageStore& images();
  Registry& registry();

  /// libvirt; connects when it is first used.
  Source<Hypervisor> hypervisor();

  /// How many threads compress, inflate and hash.
  [[nodiscard]] unsigned threads() const;

 private:
  [[nodiscard]] ValueSources read_sources();
  void say_notes();

  const Invocation& invocation_;
  const Environment& environment_;
  const Environment helpers_;
  Cancellation& cancellation_;
  const ExitCodes& exit_codes_;
  SystemClock clock_;
  std::optional<Job> job_;
  std::vector<std::string> settings_files_;  ///< that were read
  std::vector<std::string> notes_;
  ValueSources sources_;
  Values values_;
  ConsoleReporter reporter_;
  Metrics metrics_;
  std::unique_ptr<ImageStore> images_;
  std::unique_ptr<Registry> registry_;
  std::unique_ptr<Hypervisor> hypervisor_;
};

/// All names that a section for this image may have. Empty if the name is invalid; `prepare` refuses such a
/// name.
std::vector<std::string> names_of_image(const std::string& image);

/// What commands work with.
CommandTools tools_of(Wiring& wiring);

/// What the settings say of jobs' networks.
NetworkRules network_rules(const Values& values);

/// Whether the program runs as root.
bool is_root();

/// Which images jobs get, and how.
ImageRules image_rules(const Values& values);

/// Connects the real implementations for one call of the program and runs it. Returns the exit code; throws
/// Error, Cancelled.
int run_invocation(const Invocation& invocation, const Environment& environment, Cancellation& cancellation,
                   const ExitCodes& exit_codes);

}  // namespace sarde
