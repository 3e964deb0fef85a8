#pragma once

#include "core/foundation/error.hpp"
#include "core/guest/guest_shell.hpp"
#include "core/job/job_environment.hpp"

namespace sarde {

/// The one place that decides the exit code of this process and the content of BUILD_EXIT_CODE_FILE.
class ExitCodes {
 public:
  explicit ExitCodes(RunnerExits exits) : exits_(std::move(exits)) {}

  [[nodiscard]] int of(Blame blame) const {
    return blame == Blame::job ? exits_.build_failure : exits_.system_failure;
  }

  /// Under gitlab-runner, the code for a system failure; for a command that a person or a script called, what
  /// shells expect: 128 plus the signal's number.
  [[nodiscard]] int of(const Cancelled& cancelled) const;

  /// Removes what an earlier stage of the job wrote, because gitlab-runner would read it again. Throws Error.
  void forget_earlier_failure() const;

  /// 0, or the code for a build failure, with the script's own exit code written to the file. For a script
  /// that was stopped, the code for a system failure.
  [[nodiscard]] int of(const ScriptOutcome& outcome) const;

 private:
  [[nodiscard]] int build_failure(std::int32_t script_code) const;

  RunnerExits exits_;
};

/// The exit code that a shell gives a command killed by this signal (its name without SIG): 128 plus its
/// number.
std::int32_t shell_code_of_signal(const std::string& signal);

}  // namespace sarde
