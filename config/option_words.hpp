#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/option.hpp"

namespace sarde {

/// The name of the placeholder for an option's value; empty for a flag.
std::string_view value_word(const OptionRow& row);

/// The default as shown to people, for a host where the program runs as root; empty if there is no default.
std::string shown_initial(const OptionRow& row);

/// The groups of options, in order.
std::vector<std::string_view> option_groups();

}  // namespace sarde
