#include "executor/cli.hpp"

#include <algorithm>
#include <filesystem>
#include <map>
#include <sstream>

#include <CLI/CLI.hpp>

#include "core/foundation/error.hpp"
#include "executor/version.hpp"

namespace sarde {

namespace {

struct Positional {
  std::string name;
  std::string help;
  bool required = true;
};

struct CommandRule {
  std::string name;
  std::string help;
  std::vector<std::string_view> settings;  ///< names of option rules, beside the common ones
  std::vector<Positional> positionals;
  std::vector<std::string_view> extras;  ///< options that are no settings
};

const std::vector<CommandRule>& command_rules() {
  static const std::vector<std::string_view> job{"jobsdir", "shell", "guest-builds-dir", "guest-cache-dir",
                                                 "image"};
  static const std::vector<std::string_view> prepare{
      "ocidir",   "vmdir",           "jobsdir",       "network",      "virt-type",
      "username", "password",        "identity-file", "ssh-port",     "prepare-script",
      "shell",    "image",           "pull-policy",   "insecure",     "memory",
      "vcpus",    "address-timeout", "boot-timeout",  "fetch-timeout"};
  static const std::vector<CommandRule> rules{
      {"config", "gitlab-runner's config stage: tell it about the driver", job, {}, {}},
      {"prepare", "gitlab-runner's prepare stage: start the job's VM", prepare, {}, {}},
      {"run",
       "gitlab-runner's run stage: run one script in the VM",
       {"jobsdir"},
       {{"SCRIPT", "the script's file"}, {"STAGE", "the stage's name"}},
       {}},
      {"cleanup", "gitlab-runner's cleanup stage: destroy the VM", {"jobsdir"}, {}, {}},
      {"fetch",
       "bring an image from a registry into the cache",
       {"ocidir", "insecure", "fetch-timeout"},
       {{"CONTAINER", "the image"}},
       {"source"}},
      {"import",
       "make a VM from an image in the cache",
       {"ocidir", "vmdir"},
       {{"CONTAINER", "the image"}},
       {"name", "raw", "print-uuid"}},
      {"pull",
       "fetch and import",
       {"ocidir", "vmdir", "insecure", "fetch-timeout"},
       {{"CONTAINER", "the image"}},
       {"source", "name", "print-uuid"}},
      {"export",
       "make an image from a VM",
       {"ocidir", "vmconfig", "libvirtconfig", "chunksize", "compression"},
       {{"NAME", "the VM"}, {"CONTAINER", "the image; else as --tag says, else the VM's name", false}},
       {"tag", "raw"}},
      {"push",
       "send an image from the cache to a registry",
       {"ocidir", "insecure", "fetch-timeout"},
       {{"CONTAINER", "the image"}},
       {"target"}},
  };
  return rules;
}

std::string option_names(std::string_view name) {
  static const std::map<std::string_view, std::string> short_names{{"ocidir", "-d,"}, {"vmdir", "-o,"}};
  const auto found = short_names.find(name);
  return (found == short_names.end() ? "" : found->second) + "--" + std::string(name);
}

class CommandLine {
 public:
  CommandLine() : app_("Ephemeral libvirt VMs for GitLab CI jobs, and their images", program_name) {
    app_.set_version_flag("-V,--version", std::string(program_name) + " " + program_version);
    app_.require_subcommand(1);
    app_.set_help_all_flag("--help-all", "Help of all commands");
    add_common(app_);
    for (const auto& rule : command_rules()) add_command(rule);
  }

  CliResult parse(int argc, const char* const* argv) {
    try {
      app_.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
      std::ostringstream out;
      std::ostringstream complaint;
      const int code = app_.exit(error, out, complaint);
      return {.invocation = {}, .answer = {.text = out.str() + complaint.str(), .is_complaint = code != 0}};
    }
    invocation_.command = app_.get_subcommands().front()->get_name();
    for (auto& argument : positionals_) {
      if (!argument.empty()) invocation_.arguments.push_back(argument);
    }
    if (verbose_ != 0 || quiet_ != 0) {
      invocation_.options["verbosity"] = {.items = {std::to_string(std::max(0, 1 + verbose_ - quiet_))},
                                          .origin = "command line"};
    }
    return {.invocation = std::move(invocation_), .answer = {}};
  }

 private:
  void add_setting(CLI::App& app, std::string_view name) {
    const auto& rule = *find_rule(name);
    const auto take = [this, &rule](const std::string& text) {
      OptionValue value{.items = {text}, .origin = "command line"};
      try {
        check_value(rule, value);
      } catch (const Error& error) {
        throw CLI::ValidationError(error.what());
      }
      invocation_.options[std::string(rule.name)] = std::move(value);
    };
    if (rule.kind == ValueKind::flag) {
      app.add_flag_callback(
          option_names(name), [take] { take("true"); }, std::string(rule.help));
    } else {
      app.add_option_function<std::string>(option_names(name), take, std::string(rule.help));
    }
  }

  void add_common(CLI::App& app) {
    add_setting(app, "connect");
    app.add_flag("-v,--verbose", verbose_, "say more; may be given twice");
    app.add_flag("-q,--quiet", quiet_, "say less");
    app.add_flag("--no-run", invocation_.no_run, "read the settings and the command line, then stop");
  }

  void add_extra(CLI::App& app, std::string_view name) {
    if (name == "source")
      app.add_option("-s,--source", invocation_.source, "the image's name at the registry, if it is another");
    if (name == "target")
      app.add_option("-t,--target", invocation_.target, "the image's name at the registry, if it is another");
    if (name == "name")
      app.add_option("-n,--name", invocation_.name, "the VM's name; else the image config's digest");
    if (name == "tag") app.add_option("--tag", invocation_.tag, "the image's name");
    if (name == "raw") app.add_flag("--raw", invocation_.raw, "CONTAINER is the folder of an OCI layout");
    if (name == "print-uuid")
      app.add_flag("--print-uuid", invocation_.print_uuid, "print the VM's UUID rather than its name");
  }

  void add_command(const CommandRule& rule) {
    auto& app = *app_.add_subcommand(rule.name, rule.help);
    add_common(app);
    for (const auto name : rule.settings) add_setting(app, name);
    for (const auto name : rule.extras) add_extra(app, name);
    for (std::size_t i = 0; i < rule.positionals.size(); ++i) {
      auto* option = app.add_option(rule.positionals[i].name, positionals_[i], rule.positionals[i].help);
      option->required(rule.positionals[i].required);
    }
  }

  CLI::App app_;
  Invocation invocation_;
  std::array<std::string, 2> positionals_;
  int verbose_ = 0;
  int quiet_ = 0;
};

}  // namespace

CliResult parse_command_line(int argc, const char* const* argv) {
  return CommandLine().parse(argc, argv);
}

std::set<std::string> command_names() {
  std::set<std::string> names;
  for (const auto& rule : command_rules()) names.insert(rule.name);
  return names;
}

}  // namespace sarde
