#pragma once

#include <string>

#include "executor/commands/command_tools.hpp"
#include "executor/job/guest_login.hpp"

namespace sarde {

struct LoginRequest {
  std::string registry;
  PartialLogin given = {};      ///< what command line and files say
  bool password_stdin = false;  ///< the password comes on standard input
};

/// `login [-u USER] [-p PASSWORD | --password-stdin] REGISTRY`: what is not given is asked for at the
/// terminal.
void log_in(const CommandTools& tools, const LoginRequest& request);

/// `logout REGISTRY`, or '*' for all.
void log_out(const CommandTools& tools, const std::string& registry);

}  // namespace sarde
