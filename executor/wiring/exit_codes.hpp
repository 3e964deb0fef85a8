#pragma once

#include "core/foundation/error.hpp"
#include "core/guest/guest_shell.hpp"
#include "core/job/job_environment.hpp"

namespace sarde {

/// The one place that decides what this process exits with, and what BUILD_EXIT_CODE_FILE holds.
class ExitCodes {
 public:
  explicit ExitCodes(RunnerExits exits) : exits_(std::move(exits)) {}

  [[nodiscard]] int of(Blame blame) const {
    return blame == Blame::job ? exits_.build_failure : exits_.system_failure;
  }

  /// Takes away what an earlier stage of the job left: gitlab-runner would read it again. Throws Error.
  void forget_earlier_failure() const;

  /// 0, or the build failure's code with the script's own in the file; the system failure's for a script that
  /// was stopped.
  [[nodiscard]] int of(const ScriptOutcome& outcome) const;

 private:
  [[nodiscard]] int build_failure(std::int32_t script_code) const;

  RunnerExits exits_;
};

/// What a shell would give for a command that such a signal killed (name without SIG): 128 and its number.
std::int32_t shell_code_of_signal(const std::string& signal);

}  // namespace sarde
