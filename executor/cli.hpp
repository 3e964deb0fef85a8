#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "config/settings_rules.hpp"

namespace sarde {

/// What was typed, understood but not yet acted on.
struct Invocation {
  std::string command;
  OptionValues options;                ///< by name
  std::vector<std::string> arguments;  ///< positional
};

/// Text to print, and what to exit with: --help, --version, or a complaint.
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

/// The sub-commands' names.
std::set<std::string> command_names();

}  // namespace sarde
