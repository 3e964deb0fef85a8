#pragma once

#include <filesystem>
#include <set>
#include <string>

#include "config/option_value.hpp"

namespace sarde {

/// `settings`: every setting, its value and where it comes from, as TOML with comments or as JSON, followed
/// by what sections set for single commands. A password is not shown, only where it is set.
std::string show_settings(const OptionValues& values, const std::map<std::string, OptionValues>& sections,
                          bool as_json);

/// `settings convert FILE.ini`: converts one of sardinecake's files to TOML. Keys that have no meaning here
/// become comments. Which of its two kinds of file it is follows from the sections, unless `is_executors`
/// says it; the first line of the answer names it.
std::string convert_settings(const std::filesystem::path& ini, bool is_executors,
                             const std::set<std::string>& known_commands);

}  // namespace sarde
