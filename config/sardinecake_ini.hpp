#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "config/settings_file.hpp"

namespace sarde {

/// sardinecake's two files: the one of `sarde` has sections named by sub-commands, the executor's has
/// sections named by images or globs over them.
enum class IniKind { sarde, executor };

struct IniSettings {
  SettingsFile file;
  std::vector<std::string> notes;  ///< what is in the file and has no meaning here, a sentence each
};

/// Reads one of sardinecake's INI files. Keys are long option names, with `-` or `_`; those of `[DEFAULT]`
/// count for every section. An unknown key or section is noted and left out, as sardinecake does without the
/// note. Throws Error naming file and line for what is no INI, and for a value that does not fit.
IniSettings read_ini_settings(const std::filesystem::path& path, IniKind kind,
                              const std::set<std::string>& known_commands);

/// The kind of a file that is given by hand: by its name, else by its sections.
IniKind kind_of_ini(const std::filesystem::path& path, const std::set<std::string>& known_commands);

}  // namespace sarde
