#pragma once

#include <filesystem>
#include <string>

#include "core/foundation/reporter.hpp"
#include "core/guest/guest_shell.hpp"
#include "core/system/clock.hpp"
#include "executor/job/job_resources.hpp"

namespace sarde {

/// `run SCRIPT STAGE`: one script of the job in its VM.
class RunStage {
 public:
  struct Parts {
    HypervisorSource hypervisor;
    Clock& clock;
    Cancellation& cancellation;
    Reporter& reporter;
  };

  RunStage(Parts parts, JobResources resources)
      : parts_(std::move(parts)), resources_(std::move(resources)) {}

  /// Throws Error, the host's fault, within seconds if there is no VM to run in, or no longer.
  ScriptOutcome run(const std::filesystem::path& script);

 private:
  std::unique_ptr<GuestShell> connect(const JobRecord& record);
  [[nodiscard]] bool vm_is_gone() noexcept;

  Parts parts_;
  JobResources resources_;
};

}  // namespace sarde
