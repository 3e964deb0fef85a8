#pragma once

#include <optional>
#include <string>

#include "executor/wiring/invocation.hpp"

namespace sarde {

/// Text to print: --help, --version, or a complaint about the command line.
struct CliAnswer {
  std::string text;
  bool is_complaint = false;
};

/// Either an invocation or an answer.
struct CliResult {
  std::optional<Invocation> invocation;
  CliAnswer answer;
};

CliResult parse_command_line(int argc, const char* const* argv);

}  // namespace sarde
