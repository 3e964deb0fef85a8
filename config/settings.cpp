#include "config/settings.hpp"

#include <algorithm>

#include "config/image_policy.hpp"
#include "config/sardinecake_ini.hpp"
#include "config/units.hpp"
#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/system/host_size.hpp"

namespace sarde {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

namespace {

OptionValues values_in(const Environment& environment) {
  OptionValues values;
  for (const auto& rule : option_rules()) {
    if (rule.scope == OptionScope::call) continue;
    const auto name = variable_name(rule.name);
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
  constexpr unsigned most_vcpus = 512;
  const auto host = host_size();
  const std::map<std::string, std::string> texts{
      {"chunksize", "0"},
      {"compression", "small"},
      {"connect", uri},
      {"fetch-timeout", "3600"},
      {"guest-builds-dir", "/var/tmp/gitlab-runner/builds"},
      {"guest-cache-dir", "/var/tmp/gitlab-runner/cache"},
      {"insecure", "false"},
      {"jobsdir", data / "jobs"},
      {"max-disk", "2TiB"},
      {"max-image", "512GiB"},
      {"max-job-disk", "64GiB"},
      {"max-memory", std::to_string(host.memory_mib) + "MiB"},
      {"max-vcpus", std::to_string(std::min(host.processors, most_vcpus))},
      {"memory", "0"},
      {"ocidir", data / "oci"},
      {"prepare-script-timeout", "600"},
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

  /// Nothing for 0, which stands for "not set here".
  [[nodiscard]] std::optional<std::uint64_t> mebibytes(const std::string& name) const {
    constexpr std::uint64_t mebibyte = 1U << 20U;
    const auto bytes = number(name, UINT64_MAX);
    if (bytes == 0) return std::nullopt;
    if (bytes < mebibyte)
      throw Error(Blame::job, find(name)->origin + ": " + name + ": " + quote(text(name)) + " is " +
                                  size_text(bytes) + ", less than a MiB; write a unit, as in " +
                                  quote(text(name) + "MiB"));
    return bytes / mebibyte;
  }

  /// The same for processors.
  [[nodiscard]] std::optional<unsigned> processors(const std::string& name) const {
    const auto count = static_cast<unsigned>(number(name, 512));
    return count == 0 ? std::nullopt : std::optional(count);
  }

  [[nodiscard]] bool flag(const std::string& name) const { return text(name) == "true"; }

  [[nodiscard]] std::optional<std::chrono::seconds> seconds(const std::string& name) const {
    constexpr std::uint64_t century = 3'153'600'000;
    const auto* value = find(name);
    if (value == nullptr) return std::nullopt;
    const auto given = parse_seconds(value->items.front()).value_or(0);
    if (given > century) throw Error(Blame::job, value->origin + ": " + name + " is above a hundred years");
    return std::chrono::seconds(given);
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

OptionValues job_values(const std::map<std::string, std::string>& wishes,
                        const std::vector<std::string>& settable,
                        const std::function<void(const std::string&)>& complain) {
  OptionValues values;
  for (const auto& [suffix, text] : wishes) {
    const auto found = std::ranges::find_if(settable, [&, &suffix = suffix](const std::string& name) {
      return variable_name(name) == "SARDE_" + suffix;
    });
    if (found == settable.end()) {
      complain("the job's variable " + quote("SARDE_" + suffix) +
               " is not heeded: this runner lets jobs set " +
               (settable.empty() ? "nothing" : "only " + join(settable, ", ")) + " (job-settable)");
      continue;
    }
    OptionValue value{.items = {text}, .origin = "the job's variable SARDE_" + suffix};
    check_value(*find_rule(*found), value);
    values[*found] = std::move(value);
  }
  return values;
}

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
      found_.file.lay_over(read_settings_file(path, known_commands_));
      return;
    }
    std::error_code ignored;
    if (!fs::exists(path, ignored)) {
      found_.notes.push_back(path.string() + " is listed, but is not there");
      return;
    }
    const auto read = read_ini_settings(path, kind_, known_commands_);
    found_.file.lay_over(read.file);
    found_.notes.insert(found_.notes.end(), read.notes.begin(), read.notes.end());
  }

  void say_ignored(const fs::path& ini, const fs::path& toml) {
    found_.notes.push_back(ini.string() + " is not read, for there is " + toml.string());
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

namespace {

/// The places that may set an option, in the order of their force.
struct Places {
  const OptionValues none;
  const OptionValues& job;
  const OptionValues* image;
  const OptionValues environment;
  const OptionValues defaults;
  const OptionValues* section;
  std::vector<const OptionValues*> general;  ///< all but the image's

  Places(const SettingsSources& sources, const Environment& variables, bool is_root)
      : job(sources.job),
        image(section_for_image(sources.file.images, sources.image)),
        environment(values_in(variables)),
        defaults(built_in(variables, is_root)),
        section(&none) {
    if (image == nullptr) image = &none;
    const auto found = sources.file.commands.find(sources.command);
    if (found != sources.file.commands.end()) section = &found->second;
    general = {&sources.command_line, &environment, section, &sources.file.top, &defaults};
  }

  Places(const Places&) = delete;
  Places& operator=(const Places&) = delete;
  ~Places() = default;

  [[nodiscard]] std::vector<const OptionValues*> all() const {
    auto everything = general;
    everything.insert(everything.begin(), {&job, image});
    return everything;
  }
};

CallOptions call_options(const Lookup& all) {
  CallOptions call{.name = all.text("name"),
                   .source = all.text("source"),
                   .target = all.text("target"),
                   .tag = all.text("tag"),
                   .raw = all.flag("raw"),
                   .print_uuid = all.flag("print-uuid"),
                   .json = all.flag("json") || all.text("format") == "json",
                   .remote = all.flag("remote"),
                   .live = all.flag("live"),
                   .dry_run = all.flag("dry-run"),
                   .password_stdin = all.flag("password-stdin"),
                   .older_than = all.seconds("older-than"),
                   .budget = std::nullopt};
  if (all.find("budget") != nullptr) call.budget = all.number("budget", UINT64_MAX);
  return call;
}

}  // namespace

OptionValues effective_values(const SettingsSources& sources, const Environment& environment, bool is_root) {
  const Places places(sources, environment, is_root);
  const Lookup lookup(places.all(), "");
  OptionValues values;
  for (const auto& rule : option_rules()) {
    if (const auto* value = lookup.find(std::string(rule.name))) values[std::string(rule.name)] = *value;
  }
  return values;
}

Settings resolve_settings(const SettingsSources& sources, const Environment& environment, bool is_root) {
  const Places places(sources, environment, is_root);
  const auto home = environment.non_empty("HOME").value_or("/");
  const Lookup all(places.all(), home);
  const auto timeout = all.seconds("timeout");
  constexpr std::uint64_t any = UINT64_MAX;
  Settings settings{.connect = all.text("connect"),
                    .ocidir = all.path("ocidir"),
                    .vmdir = all.path("vmdir"),
                    .jobsdir = all.path("jobsdir"),
                    .network = all.text("network"),
                    .virt_type = all.text("virt-type"),
                    .image_login = Lookup({&places.job, places.image}, home).login(),
                    .login = Lookup(places.general, home).login(),
                    .registry_login = Lookup({&sources.command_line, places.section}, home).login(),
                    .identity_file = all.path("identity-file"),
                    .ssh_port = static_cast<std::uint16_t>(all.number("ssh-port", 65535)),
                    .prepare_script = all.path("prepare-script"),
                    .prepare_script_timeout = all.seconds("prepare-script-timeout").value_or(600s),
                    .shell = all.text("shell"),
                    .guest_builds_dir = all.text("guest-builds-dir"),
                    .guest_cache_dir = all.text("guest-cache-dir"),
                    .image = all.text("image"),
                    .pull_policy = all.text("pull-policy"),
                    .allowed_pull_policies = all.list("allowed-pull-policies"),
                    .insecure = all.flag("insecure"),
                    .insecure_registries = all.list("insecure-registries"),
                    .job_settable = all.list("job-settable"),
                    .max_memory_mib = all.mebibytes("max-memory"),
                    .max_vcpus = all.processors("max-vcpus"),
                    .memory_mib = all.mebibytes("memory"),
                    .vcpus = all.processors("vcpus"),
                    .compression = all.text("compression"),
                    .chunksize = all.number("chunksize", any),
                    .vmconfig = all.path("vmconfig"),
                    .libvirtconfig = all.path("libvirtconfig"),
                    .address_timeout = all.seconds("address-timeout").value_or(timeout.value_or(120s)),
                    .boot_timeout = all.seconds("boot-timeout").value_or(timeout.value_or(300s)),
                    .fetch_timeout = all.seconds("fetch-timeout").value_or(3600s),
                    .verbosity = static_cast<unsigned>(all.number("verbosity", 9)),
                    .allow_devices = all.list("allow-devices"),
                    .max_disk = all.number("max-disk", any),
                    .max_image = all.number("max-image", any),
                    .max_job_disk = all.number("max-job-disk", any),
                    .authfile = all.path("authfile"),
                    .signature_policy = all.path("signature-policy"),
                    .no_run = all.flag("no-run"),
                    .call = call_options(all)};
  for (const auto& name : settings.job_settable) {
    if (!may_be_left_to_jobs(name))
      throw Error(Blame::job, all.find("job-settable")->origin + ": job-settable: " + quote(name) +
                                  " is no option that can be left to jobs");
  }
  for (const auto* name : {"guest-builds-dir", "guest-cache-dir"}) {
    if (!all.text(name).starts_with('/') && settings.shell != "powershell") {
      throw Error(Blame::job, all.find(name)->origin + ": " + name + " is not an absolute path");
    }
  }
  return settings;
}

}  // namespace sarde
