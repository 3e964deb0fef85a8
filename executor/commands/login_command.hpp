#pragma once

#include <string>

#include "executor/commands/command_parts.hpp"

namespace sarde {

/// `login [-u USER] [-p PASSWORD | --password-stdin] REGISTRY`: what is not given is asked for at the
/// terminal.
void log_in(const CommandParts& parts, const std::string& registry);

/// `logout REGISTRY`, or '*' for all.
void log_out(const CommandParts& parts, const std::string& registry);

}  // namespace sarde
