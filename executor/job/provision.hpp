#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <string>

#include "core/foundation/reporter.hpp"
#include "core/guest/guest_shell.hpp"
#include "core/system/clock.hpp"

namespace sarde {

/// What to do in each job's VM before the job.
struct ProvisionRules {
  std::filesystem::path script = {};  ///< prepare-script; empty: none
  std::chrono::milliseconds timeout{};
  std::string shell = {};
};

/// Runs the administrator's script in the VM. Throws Error, the host's fault, unless the script succeeds in
/// time; throws Cancelled.
void provision(GuestShell& guest, const ProvisionRules& rules, const std::function<void()>& watch,
               Clock& clock, Cancellation& cancellation, Reporter& reporter);

}  // namespace sarde
