#include "executor/wiring/exit_codes.hpp"

#include <cstring>
#include <signal.h>

#include "core/system/files.hpp"

namespace sarde {

std::int32_t shell_code_of_signal(const std::string& signal) {
  for (int number = 1; number < NSIG; ++number) {
    const char* name = ::sigabbrev_np(number);
    if (name != nullptr && signal == name) return 128 + number;
  }
  return 128;
}

int ExitCodes::of(const Cancelled& cancelled) const {
  return exits_.are_given || cancelled.signal() == 0 ? exits_.system_failure : 128 + cancelled.signal();
}

void ExitCodes::forget_earlier_failure() const {
  if (exits_.build_exit_code_file) remove_if_there(*exits_.build_exit_code_file);
}

int ExitCodes::build_failure(std::int32_t script_code) const {
  // The file may contain only an integer in its first line; gitlab-runner treats anything else as a system
  // failure.
  if (exits_.build_exit_code_file)
    write_file(*exits_.build_exit_code_file, std::to_string(script_code), 0644);
  return exits_.build_failure;
}

int ExitCodes::of(const ScriptOutcome& outcome) const {
  if (const auto* exited = std::get_if<ScriptExited>(&outcome))
    return exited->code == 0 ? 0 : build_failure(exited->code);
  if (const auto* killed = std::get_if<ScriptKilled>(&outcome))
    return build_failure(shell_code_of_signal(killed->signal));
  return exits_.system_failure;
}

}  // namespace sarde
