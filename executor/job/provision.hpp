#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "core/foundation/reporter.hpp"
#include "core/guest/guest_shell.hpp"
#include "core/system/clock.hpp"

namespace sarde {

/// A script of the administrator's that runs in jobs' VMs.
struct AdminScript {
  std::string option = {};            ///< that names it: prepare-script, post-script
  std::filesystem::path script = {};  ///< empty: none
  std::chrono::milliseconds timeout{};
  std::string shell = {};
  ScriptEnvironment environment = {};
  /// Put in front of the script. Names are letters, digits and underscores; values may be anything.
  std::vector<std::pair<std::string, std::string>> variables = {};
};

/// Runs the script in the VM, if there is one. Throws Error, the host's fault, unless it succeeds in time;
/// throws Cancelled.
void run_admin_script(GuestShell& guest, const AdminScript& rules, const std::function<void()>& watch,
                      Clock& clock, Cancellation& cancellation, Reporter& reporter);

/// The assignments as a program of the shell, on one line unless a value has several.
std::string assignments(const std::vector<std::pair<std::string, std::string>>& variables,
                        const std::string& shell);

}  // namespace sarde
