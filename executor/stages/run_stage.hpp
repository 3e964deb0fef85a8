#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "core/foundation/reporter.hpp"
#include "core/guest/guest_shell.hpp"
#include "core/system/clock.hpp"
#include "executor/job/disk_server.hpp"
#include "executor/job/guest_door.hpp"
#include "executor/job/job_resources.hpp"

namespace sarde {

/// `run SCRIPT STAGE`: runs one script of the job in its VM.
class RunStage {
 public:
  struct Parts {
    /// How long the VM is kept after a job that failed; nothing: it is not.
    std::optional<std::chrono::seconds> keep_on_failure = {};
    std::string job_id = {};
    JobResources resources;
    GuestDoor door;
    Source<Machines> machines;
    EnvironmentList environment = {};  ///< of a disk server that has to be started again
    Clock& clock;
    Cancellation& cancellation;
    Reporter& reporter;
  };

  explicit RunStage(Parts parts) : parts_(std::move(parts)) {}

  /// Throws Error, the host's fault, within seconds if the VM does not exist or no longer exists.
  ScriptOutcome run(const std::filesystem::path& script, const std::string& stage);

 private:
  ScriptOutcome run_in(GuestShell& shell, const GuestScript& script, const std::string& stage);
  [[noreturn]] void throw_lost(const Error& error);
  ScriptOutcome run_in_guest(const GuestScript& script, const JobRecord& record, const std::string& stage);
  [[nodiscard]] bool vm_is_gone(std::chrono::milliseconds patience) noexcept;
  void noted(const std::function<void()>& write);
  void note(const ScriptOutcome& outcome, const std::string& stage);

  Parts parts_;
};

}  // namespace sarde
