#pragma once

#include <string>
#include <utility>
#include <vector>

#include "executor/commands/jobs_command.hpp"

namespace sarde {

struct SshRequest {
  std::vector<std::string> command =
      {};  ///< empty: a login shell; one word: a command line of the guest's shell
  std::vector<std::pair<std::string, std::string>> environment = {};  ///< of OpenSSH's client
};

/// `ssh`: leads into a job's VM with OpenSSH's client, as the job's user and with the host key that `prepare`
/// saw. Returns its exit code: the command's, or 255 if there is no connection. Throws Error if the job has
/// no VM that one can log into.
int log_into_job(const KnownJob& job, const SshRequest& request);

}  // namespace sarde
