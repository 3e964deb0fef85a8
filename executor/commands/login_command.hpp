#pragma once

#include <string>

#include "executor/commands/command_tools.hpp"
#include "executor/job/guest_login.hpp"

namespace sarde {

struct LoginRequest {
  std::string registry;
  PartialLogin given = {};      ///< from the command line and the settings
  bool password_stdin = false;  ///< read the password from standard input
};

/// `login [-u USER] [-p PASSWORD | --password-stdin] REGISTRY`: tries the credentials and stores them. Asks
/// at the terminal for what is not given.
void log_in(const CommandTools& tools, const LoginRequest& request);

/// `logout REGISTRY`: removes the credentials for a registry, or for all of them if it is '*'.
void log_out(const CommandTools& tools, const std::string& registry);

}  // namespace sarde
