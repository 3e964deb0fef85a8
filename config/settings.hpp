#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
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

/// Every option's effective value for one call of the program.
struct Settings {
  std::string connect;
  std::filesystem::path ocidir;
  std::filesystem::path vmdir;
  std::filesystem::path jobsdir;
  std::string network;        ///< empty: as fits the connection
  std::string virt_type;      ///< auto, kvm, qemu
  LoginSettings image_login;  ///< from the image's section: before the image's own
  LoginSettings login;        ///< from elsewhere: after the image's own
  std::filesystem::path identity_file;
  std::uint16_t ssh_port = 0;
  std::filesystem::path prepare_script;
  std::string shell;
  std::string guest_builds_dir;
  std::string guest_cache_dir;
  std::string image;
  std::string pull_policy;
  std::vector<std::string> allowed_pull_policies;
  bool insecure = false;
  std::vector<std::string> insecure_registries;
  std::uint64_t memory_mib = 0;
  unsigned vcpus = 0;
  std::string compression;
  std::uint64_t chunksize = 0;  ///< bytes
  std::filesystem::path vmconfig;
  std::filesystem::path libvirtconfig;
  std::chrono::milliseconds address_timeout{};
  std::chrono::milliseconds boot_timeout{};
  std::chrono::milliseconds fetch_timeout{};
  unsigned verbosity = 1;
};

/// Where the values come from. Of several, first wins: the image's section, [the image's own login], command
/// line, environment (SARDE_<OPTION>), the command's section, the file's top level, the built-in default.
struct SettingsSources {
  SettingsFile file;
  std::string command;
  OptionValues command_line;
  std::string image;  ///< the job's; empty: no image section applies
};

/// The files that count: SARDE_CONF_FILES if it is set (each must be there), else those of /etc and of the
/// user that are there. Later ones are laid over earlier ones. Throws Error.
SettingsFile read_settings_files(const Environment& environment, const std::set<std::string>& known_commands);

/// Throws Error naming the place of a value that does not fit. `is_root` decides about the default folders.
Settings resolve_settings(const SettingsSources& sources, const Environment& environment, bool is_root);

}  // namespace sarde
