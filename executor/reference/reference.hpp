#pragma once

#include <string>
#include <string_view>

namespace sarde {

// Documentation of options and commands, generated from the two tables (option_table, command_table()) when
// the program is built.

/// docs/options.md.
std::string options_page();

/// docs/guests.md.
std::string guests_page();

/// examples/sarde.toml: every setting, commented out.
std::string example_settings();

/// sarde-executor.1, for man(7).
std::string program_man_page();

/// sarde.toml.5, for man(7).
std::string settings_man_page();

/// Completion for bash; the file is named after the program or its link.
std::string bash_completion();

/// Completion for zsh: _sarde-executor, for a folder in fpath.
std::string zsh_completion();

/// Completion for fish; the file in vendor_completions.d is named after `program`.
std::string fish_completion(std::string_view program);

}  // namespace sarde
