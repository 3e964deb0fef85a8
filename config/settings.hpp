#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "config/settings_file.hpp"
#include "config/settings_rules.hpp"
#include "core/foundation/secret.hpp"
#include "core/system/environment.hpp"

namespace sarde {

/// A login, as far as one source gives it.
struct LoginSettings {
  std::optional<std::string> username;
  std::optional<Secret> password;
};

/// What one call of a command is to do: options of OptionScope::call.
struct CallOptions {
  std::string name;
  std::string source;
  std::string target;
  std::string tag;
  bool raw = false;
  bool print_uuid = false;
  bool json = false;
  bool remote = false;
  bool live = false;
  bool dry_run = false;
  bool password_stdin = false;
  std::optional<std::chrono::seconds> older_than;
  std::optional<std::uint64_t> budget;  ///< bytes
};

/// Every option's effective value for one call of the program.
struct Settings {
  std::string connect;
  std::filesystem::path ocidir;
  std::filesystem::path vmdir;
  std::filesystem::path jobsdir;
  std::string network;           ///< empty: as fits the connection
  std::string virt_type;         ///< auto, kvm, qemu
  LoginSettings image_login;     ///< from the image's section: before the image's own
  LoginSettings login;           ///< from elsewhere: after the image's own
  LoginSettings registry_login;  ///< for `login`: from the command line and the command's section
  std::filesystem::path identity_file;
  std::uint16_t ssh_port = 0;
  std::filesystem::path prepare_script;
  std::chrono::milliseconds prepare_script_timeout{};
  std::string shell;
  std::string guest_builds_dir;
  std::string guest_cache_dir;
  std::string image;
  std::string pull_policy;
  std::vector<std::string> allowed_pull_policies;
  bool insecure = false;
  std::vector<std::string> insecure_registries;
  std::vector<std::string> job_settable;
  std::optional<std::uint64_t> max_memory_mib;  ///< nothing: any
  std::optional<unsigned> max_vcpus;            ///< nothing: any
  std::optional<std::uint64_t> memory_mib;      ///< nothing: as the image has it
  std::optional<unsigned> vcpus;                ///< nothing: as the image has it
  std::string compression;
  std::uint64_t chunksize = 0;  ///< bytes
  std::filesystem::path vmconfig;
  std::filesystem::path libvirtconfig;
  std::chrono::milliseconds address_timeout{};
  std::chrono::milliseconds boot_timeout{};
  std::chrono::milliseconds fetch_timeout{};
  unsigned verbosity = 1;
  std::vector<std::string> allow_devices;
  std::uint64_t max_disk = 0;              ///< bytes
  std::uint64_t max_image = 0;             ///< bytes
  std::uint64_t max_job_disk = 0;          ///< bytes
  std::filesystem::path authfile;          ///< empty: skopeo's own places
  std::filesystem::path signature_policy;  ///< empty: skopeo's own
  bool no_run = false;
  CallOptions call;
};

/// Where the values come from. Of several, first wins: the job's wishes, the image's section, [the image's
/// own login], command line, environment (SARDE_<OPTION>), the command's section, the file's top level, the
/// built-in default.
struct SettingsSources {
  SettingsFile file;
  std::string command;
  OptionValues command_line;
  std::vector<std::string> image;  ///< the job's, by all its names; none: no image section applies
  OptionValues job = {};           ///< what job_values() gave
};

/// What a job may set of what it wishes (by the rest of the variable's name behind SARDE_). What it may not
/// is told to `complain`, a sentence each. Throws Error, the job's fault, for a value that does not fit.
OptionValues job_values(const std::map<std::string, std::string>& wishes,
                        const std::vector<std::string>& settable,
                        const std::function<void(const std::string&)>& complain);

/// Which of sardinecake's INI files count where there are no TOML files: those of `sarde`, or those of its
/// executor.
enum class SettingsUser { command, job_stage };

struct FoundSettings {
  SettingsFile file;
  std::vector<std::string> notes;  ///< what people should know: a file that is not read, an unknown key
};

/// The files that count: those listed by the environment if it does (SARDE_CONF_FILES; for a job's stage
/// first GITLAB_SARDINECAKE_EXECUTOR_CONF_FILES), else sarde.toml of /etc and of the user, else sardinecake's
/// INI files there. Of a list a TOML file must be there, an INI file that is not is noted. Later ones are
/// laid over earlier ones. Throws Error.
FoundSettings read_settings_files(const Environment& environment, const std::set<std::string>& known_commands,
                                  SettingsUser user);

/// Throws Error naming the place of a value that does not fit. `is_root` decides about the default folders.
Settings resolve_settings(const SettingsSources& sources, const Environment& environment, bool is_root);

/// The value of every option that has one, and where it comes from, by name.
OptionValues effective_values(const SettingsSources& sources, const Environment& environment, bool is_root);

}  // namespace sarde
