#include "config/settings.hpp"

#include <algorithm>

#include "config/image_policy.hpp"
#include "config/units.hpp"
#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"

namespace sarde {

namespace fs = std::filesystem;

namespace {

OptionValues values_in(const Environment& environment) {
  OptionValues values;
  for (const auto& rule : option_rules()) {
    std::string name = "SARDE_";
    for (const char c : rule.name)
      name += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    const auto text = environment.get(name);
    if (!text) continue;
    OptionValue value{.items = rule.kind == ValueKind::list ? split(*text, ',') : std::vector{*text},
                      .origin = "environment variable " + name};
    check_value(rule, value);
    values[std::string(rule.name)] = std::move(value);
  }
  return values;
}

OptionValues built_in(const Environment& environment, bool is_root) {
  const auto home = environment.non_empty("HOME").value_or("/");
  const fs::path data =
      is_root
          ? fs::path("/var/lib/sardinecake")
          : fs::path(environment.non_empty("XDG_DATA_HOME").value_or(home + "/.local/share")) / "sardinecake";
  const auto uri =
      environment.non_empty("LIBVIRT_DEFAULT_URI").value_or(is_root ? "qemu:///system" : "qemu:///session");
  const std::map<std::string, std::string> texts{{"address-timeout", "120"},
                                                 {"boot-timeout", "300"},
                                                 {"chunksize", "0"},
                                                 {"compression", "small"},
                                                 {"connect", uri},
                                                 {"fetch-timeout", "3600"},
                                                 {"guest-builds-dir", "/var/tmp/gitlab-runner/builds"},
                                                 {"guest-cache-dir", "/var/tmp/gitlab-runner/cache"},
                                                 {"insecure", "false"},
                                                 {"jobsdir", data / "jobs"},
                                                 {"memory", "0"},
                                                 {"ocidir", data / "oci"},
                                                 {"pull-policy", "always"},
                                                 {"shell", "bash"},
                                                 {"ssh-port", "0"},
                                                 {"vcpus", "0"},
                                                 {"verbosity", "1"},
                                                 {"virt-type", "auto"},
                                                 {"vmdir", data / "vms"},
                                                 {"username", "vagrant"},
                                                 {"password", "vagrant"}};
  OptionValues values;
  for (const auto& [name, text] : texts) values[name] = {.items = {text}, .origin = "built-in default"};
  return values;
}

/// Finds each option's value in a list of sources, the first that has it.
class Lookup {
 public:
  Lookup(std::vector<const OptionValues*> sources, std::string home)
      : sources_(std::move(sources)), home_(std::move(home)) {}

  [[nodiscard]] const OptionValue* find(const std::string& name) const {
    for (const auto* source : sources_) {
      if (const auto found = source->find(name); found != source->end()) return &found->second;
    }
    return nullptr;
  }

  [[nodiscard]] std::string text(const std::string& name) const {
    const auto* value = find(name);
    return value == nullptr || value->items.empty() ? "" : value->items.front();
  }

  [[nodiscard]] std::vector<std::string> list(const std::string& name) const {
    const auto* value = find(name);
    return value == nullptr ? std::vector<std::string>() : value->items;
  }

  [[nodiscard]] fs::path path(const std::string& name) const {
    const auto given = text(name);
    if (given.empty()) return {};
    return fs::absolute(given.starts_with("~/") ? home_ + given.substr(1) : given).lexically_normal();
  }

  [[nodiscard]] std::uint64_t number(const std::string& name, std::uint64_t most) const {
    const auto value = parse_size(text(name)).value_or(0);
    if (value > most)
      throw Error(Blame::job, find(name)->origin + ": " + name + " is above " + std::to_string(most));
    return value;
  }

  [[nodiscard]] std::chrono::milliseconds seconds(const std::string& name) const {
    constexpr std::uint64_t year = 31'536'000;
    return std::chrono::seconds(number(name, year));
  }

  [[nodiscard]] LoginSettings login() const {
    LoginSettings login;
    if (const auto* user = find("username")) login.username = user->items.front();
    if (const auto* password = find("password")) login.password = Secret(password->items.front());
    return login;
  }

 private:
  std::vector<const OptionValues*> sources_;
  std::string home_;
};

}  // namespace

SettingsFile read_settings_files(const Environment& environment,
                                 const std::set<std::string>& known_commands) {
  SettingsFile file;
  if (const auto listed = environment.non_empty("SARDE_CONF_FILES")) {
    for (const auto& path : split(*listed, ':')) {
      if (!path.empty()) file.lay_over(read_settings_file(path, known_commands));
    }
    return file;
  }
  std::vector<fs::path> paths{"/etc/sardinecake/sarde.toml"};
  if (const auto home = environment.non_empty("HOME")) {
    paths.push_back(fs::path(*home) / ".config" / "sardinecake" / "sarde.toml");
  }
  for (const auto& path : paths) {
    std::error_code ignored;
    if (fs::exists(path, ignored)) file.lay_over(read_settings_file(path, known_commands));
  }
  return file;
}

Settings resolve_settings(const SettingsSources& sources, const Environment& environment, bool is_root) {
  const OptionValues none;
  const auto* image = sources.image.empty() ? nullptr : section_for_image(sources.file.images, sources.image);
  const auto from_environment = values_in(environment);
  const auto section = sources.file.commands.find(sources.command);
  const auto defaults = built_in(environment, is_root);
  const auto home = environment.non_empty("HOME").value_or("/");
  std::vector<const OptionValues*> general{&sources.command_line, &from_environment,
                                           section == sources.file.commands.end() ? &none : &section->second,
                                           &sources.file.top, &defaults};
  auto everything = general;
  everything.insert(everything.begin(), image == nullptr ? &none : image);
  const Lookup all(everything, home);

  constexpr std::uint64_t any = UINT64_MAX;
  Settings settings{.connect = all.text("connect"),
                    .ocidir = all.path("ocidir"),
                    .vmdir = all.path("vmdir"),
                    .jobsdir = all.path("jobsdir"),
                    .network = all.text("network"),
                    .virt_type = all.text("virt-type"),
                    .image_login = image == nullptr ? LoginSettings() : Lookup({image}, home).login(),
                    .login = Lookup(general, home).login(),
                    .identity_file = all.path("identity-file"),
                    .ssh_port = static_cast<std::uint16_t>(all.number("ssh-port", 65535)),
                    .prepare_script = all.path("prepare-script"),
                    .shell = all.text("shell"),
                    .guest_builds_dir = all.text("guest-builds-dir"),
                    .guest_cache_dir = all.text("guest-cache-dir"),
                    .image = all.text("image"),
                    .pull_policy = all.text("pull-policy"),
                    .allowed_pull_policies = all.list("allowed-pull-policies"),
                    .insecure = all.text("insecure") == "true",
                    .insecure_registries = all.list("insecure-registries"),
                    .memory_mib = all.number("memory", any) >> 20U,
                    .vcpus = static_cast<unsigned>(all.number("vcpus", 512)),
                    .compression = all.text("compression"),
                    .chunksize = all.number("chunksize", any),
                    .vmconfig = all.path("vmconfig"),
                    .libvirtconfig = all.path("libvirtconfig"),
                    .address_timeout = all.seconds("address-timeout"),
                    .boot_timeout = all.seconds("boot-timeout"),
                    .fetch_timeout = all.seconds("fetch-timeout"),
                    .verbosity = static_cast<unsigned>(all.number("verbosity", 9))};
  for (const auto* name : {"guest-builds-dir", "guest-cache-dir"}) {
    if (!all.text(name).starts_with('/') && settings.shell != "powershell") {
      throw Error(Blame::job, all.find(name)->origin + ": " + name + " is not an absolute path");
    }
  }
  return settings;
}

}  // namespace sarde
