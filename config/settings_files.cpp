#include "config/settings_files.hpp"

#include <filesystem>

#include "config/sardinecake_ini.hpp"
#include "core/foundation/text.hpp"

namespace sarde {

namespace fs = std::filesystem;

namespace {

using Paths = std::vector<fs::path>;

/// `name` in /etc's folder and in the user's, those that are there.
Paths present(const Environment& environment, const std::string& folder, const std::string& name) {
  Paths paths{fs::path("/etc") / folder / name};
  if (const auto home = environment.non_empty("HOME"))
    paths.push_back(fs::path(*home) / ".config" / folder / name);
  std::erase_if(paths, [](const fs::path& path) {
    std::error_code ignored;
    return !fs::exists(path, ignored);
  });
  return paths;
}

class FilesReader {
 public:
  FilesReader(const std::set<std::string>& known_commands, SettingsUser user)
      : known_commands_(known_commands),
        kind_(user == SettingsUser::job_stage ? IniKind::executor : IniKind::sarde) {}

  void add(const fs::path& path) {
    if (path.extension() != ".ini") {
      found_.files.push_back(path.string());
      found_.file.lay_over(read_settings_file(path, known_commands_));
      return;
    }
    std::error_code ignored;
    if (!fs::exists(path, ignored)) {
      found_.notes.push_back(path.string() + " is listed, but does not exist");
      return;
    }
    const auto read = read_ini_settings(path, kind_, known_commands_);
    found_.files.push_back(path.string());
    found_.file.lay_over(read.file);
    found_.notes.insert(found_.notes.end(), read.notes.begin(), read.notes.end());
  }

  void say_ignored(const fs::path& ini, const fs::path& toml) {
    found_.notes.push_back(ini.string() + " is ignored, because there is " + toml.string());
  }

  FoundSettings take() { return std::move(found_); }

 private:
  const std::set<std::string>& known_commands_;
  IniKind kind_;
  FoundSettings found_;
};

}  // namespace

FoundSettings read_settings_files(const Environment& environment, const std::set<std::string>& known_commands,
                                  SettingsUser user) {
  FilesReader files(known_commands, user);
  const bool is_stage = user == SettingsUser::job_stage;
  auto listed = is_stage ? environment.non_empty("GITLAB_SARDINECAKE_EXECUTOR_CONF_FILES") : std::nullopt;
  if (!listed) listed = environment.non_empty("SARDE_CONF_FILES");
  if (listed) {
    for (const auto& path : split(*listed, ':')) {
      if (!path.empty()) files.add(path);
    }
    return files.take();
  }
  const auto toml = present(environment, "sardinecake", "sarde.toml");
  const auto ini = is_stage ? present(environment, "gitlab-runner", "gitlab-sardinecake-executor.ini")
                            : present(environment, "sardinecake", "sarde.ini");
  for (const auto& path : toml.empty() ? ini : toml) files.add(path);
  if (!toml.empty()) {
    for (const auto& path : ini) files.say_ignored(path, toml.back());
  }
  return files.take();
}

}  // namespace sarde
