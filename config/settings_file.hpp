#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>

#include "config/option_value.hpp"

namespace sarde {

/// What one configuration file, or several laid over one another, set.
struct SettingsFile {
  OptionValues top;
  std::map<std::string, OptionValues> commands;  ///< by sub-command
  std::map<std::string, OptionValues> images;    ///< by image glob

  /// Puts `later`'s values over these.
  void lay_over(const SettingsFile& later);
};

/// Reads a TOML file. Its keys are the options' long names; `[commands.<name>]` and `[images."<glob>"]` hold
/// the same keys. Throws Error naming file, line and key for anything else: a syntax error, an unknown key,
/// command or section, a value of the wrong type.
SettingsFile read_settings_file(const std::filesystem::path& path,
                                const std::set<std::string>& known_commands);

/// The same as TOML text, as read_settings_file reads it.
std::string to_toml(const SettingsFile& file);

}  // namespace sarde
