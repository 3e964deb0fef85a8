#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "executor/commands/jobs_command.hpp"

namespace sarde {

/// `console`: connects this terminal with the serial console of a job's VM, through virsh. Returns its exit
/// code.
int open_console(const KnownJob& job, const std::string& connect,
                 const std::vector<std::pair<std::string, std::string>>& environment);

/// `logs`: gives what the job's VM wrote to its serial console to `print`, line by line. With `follow`, goes
/// on until the job's folder is gone; throws Cancelled.
void show_logs(const CommandTools& tools, const KnownJob& job, bool follow,
               const std::function<void(const std::string& line)>& print);

}  // namespace sarde
