#pragma once

#include <set>
#include <string>
#include <vector>

#include "config/settings_file.hpp"
#include "core/system/environment.hpp"

namespace sarde {

/// Which of sardinecake's INI files count where there are no TOML files: those of `sarde`, or those of its
/// executor.
enum class SettingsUser { command, job_stage };

struct FoundSettings {
  SettingsFile file;
  std::vector<std::string> files;  ///< that were read
  std::vector<std::string> notes;  ///< what people should know: a file that is not read, an unknown key
};

/// The files that count: those listed by the environment if it does (SARDE_CONF_FILES; for a job's stage
/// first GITLAB_SARDINECAKE_EXECUTOR_CONF_FILES), else sarde.toml of /etc and of the user, else sardinecake's
/// INI files there. Of a list, a TOML file must exist; an INI file that does not is noted. Later files
/// override earlier ones. Throws Error.
FoundSettings read_settings_files(const Environment& environment, const std::set<std::string>& known_commands,
                                  SettingsUser user);

}  // namespace sarde
