#pragma once

#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sarde {

class Wiring;

struct Positional {
  std::string_view name;
  std::string_view help;
  bool required = true;
  bool repeated = false;  ///< there may be more of it
};

/// A command: everything that the command line, the help, the man page and the completions know about it. Its
/// options are those whose rows name it (is_option_of()).
struct CommandRow {
  std::string_view name;
  std::string_view group;  ///< heading under which it is listed
  std::string_view help;   ///< a phrase without a full stop
  std::string_view more;   ///< sentences for the man page
  std::vector<Positional> positionals;
  int (*run)(Wiring& wiring);  ///< returns the exit code
};

/// All commands, in the order in which they are listed.
std::span<const CommandRow> command_table();

/// Null if there is no command of this name.
const CommandRow* find_command(std::string_view name);

std::set<std::string> command_names();

/// Does it start a VM as for a job, without GitLab?
bool is_job_by_hand(std::string_view command);

/// Is it one that works for a job: a stage, or one by hand?
bool has_job(std::string_view command);

/// Is it one of the four commands that gitlab-runner calls?
bool is_job_stage(std::string_view command);

}  // namespace sarde
