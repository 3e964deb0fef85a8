#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/option.hpp"

namespace sarde {

// What people read about options and commands, made from the two tables (option_table, command_table()) when
// the program is built: nobody writes it by hand.

/// docs/options.md.
std::string options_page();

/// examples/sarde.toml: every setting, commented out.
std::string example_settings();

/// sarde-executor.1, for man(7).
std::string program_man_page();

/// sarde.toml.5, for man(7).
std::string settings_man_page();

/// For bash-completion's folder, under the name of the program or of its link.
std::string bash_completion();

/// _sarde-executor, for a folder of zsh's fpath.
std::string zsh_completion();

/// For fish's vendor_completions.d, under `program`'s name.
std::string fish_completion(std::string_view program);

/// The name of the placeholder for an option's value; empty for a flag.
std::string_view value_word(const OptionRow& row);

/// The default as people read it, on a host where the program runs as root; empty if there is none.
std::string shown_initial(const OptionRow& row);

/// The groups of options, in order.
std::vector<std::string_view> option_groups();

}  // namespace sarde
