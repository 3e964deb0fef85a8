#include "executor/cli.hpp"

#include <algorithm>
#include <filesystem>
#include <map>
#include <sstream>

#include <CLI/CLI.hpp>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/foundation/version.hpp"

namespace sarde {

namespace {

struct Positional {
  std::string name;
  std::string help;
  bool required = true;
};

using OptionNames = std::vector<std::string_view>;

struct CommandRule {
  std::string name;
  std::string help;
  OptionNames options;  ///< beside the common ones
  std::vector<Positional> positionals;
};

OptionNames operator+(OptionNames names, const OptionNames& more) {
  names.insert(names.end(), more.begin(), more.end());
  return names;
}

const std::vector<CommandRule>& command_rules() {
  static const OptionNames common{"connect", "no-run"};
  static const OptionNames login{"username", "password", "identity-file"};
  static const OptionNames registry{"authfile", "insecure", "fetch-timeout"};
  static const OptionNames answer{"format", "json"};
  static const OptionNames fetch = common + registry + OptionNames{"ocidir", "signature-policy"};
  static const Positional container{"CONTAINER", "the image"};
  static const std::vector<CommandRule> rules{
      {"config",
       "gitlab-runner's config stage: tell it about the driver",
       common + login + OptionNames{"jobsdir", "shell", "guest-builds-dir", "guest-cache-dir", "image"},
       {}},
      {"prepare",
       "gitlab-runner's prepare stage: start the job's VM",
       fetch + login +
           OptionNames{"vmdir", "jobsdir", "network", "virt-type", "ssh-port", "prepare-script",
                       "prepare-script-timeout", "shell", "image", "pull-policy", "memory", "vcpus",
                       "timeout", "address-timeout", "boot-timeout", "omit-backingstore"},
       {}},
      {"run",
       "gitlab-runner's run stage: run one script in the VM",
       common + login + OptionNames{"jobsdir"},
       {{"SCRIPT", "the script's file"}, {"STAGE", "the stage's name"}}},
      {"cleanup",
       "gitlab-runner's cleanup stage: destroy the VM",
       common + login + OptionNames{"jobsdir"},
       {}},
      {"login",
       "keep credentials for a registry",
       common + registry + OptionNames{"username", "password", "password-stdin"},
       {{"REGISTRY", "the registry's host[:port]"}}},
      {"logout",
       "forget a registry's credentials",
       common + OptionNames{"authfile"},
       {{"REGISTRY", "the registry's host[:port], or '*' for all of them"}}},
      {"fetch", "bring an image from a registry into the cache", fetch + OptionNames{"source"}, {container}},
      {"import",
       "make a VM from an image in the cache",
       common + OptionNames{"ocidir", "vmdir", "name", "raw", "print-uuid"},
       {container}},
      {"pull", "fetch and import", fetch + OptionNames{"source", "vmdir", "name", "print-uuid"}, {container}},
      {"export",
       "make an image from a VM",
       common + OptionNames{"ocidir", "vmconfig", "libvirtconfig", "chunksize", "compression", "tag", "raw",
                            "live"},
       {{"NAME", "the VM"}, {"CONTAINER", "the image; else as --tag says, else the VM's name", false}}},
      {"push",
       "send an image from the cache to a registry",
       common + registry + OptionNames{"ocidir", "target"},
       {container}},
      {"list", "list the images in the cache", common + answer + OptionNames{"ocidir"}, {}},
      {"getconfig", "print an image's vm config", common + OptionNames{"ocidir", "raw"}, {container}},
      {"inspect",
       "tell what an image consists of, in the cache or at the registry",
       fetch + answer + OptionNames{"raw", "remote"},
       {container}},
      {"clone",
       "make a VM whose disks are thin copies of an image's, or of another VM's",
       fetch + OptionNames{"vmdir", "print-uuid"},
       {{"SOURCE", "a VM, or an image (fetched if it is not in the cache)"},
        {"TARGET", "the new VM's name"}}},
      {"rm",
       "remove an image: its name, and what nothing else needs of it",
       common + answer + OptionNames{"ocidir", "vmdir", "jobsdir", "dry-run"},
       {container}},
      {"prune",
       "remove unreferenced blobs, and images that are not used",
       common + answer + OptionNames{"ocidir", "vmdir", "jobsdir", "older-than", "budget", "dry-run"},
       {}},
      {"gc",
       "remove what jobs left whose cleanup never came",
       common + answer + OptionNames{"ocidir", "vmdir", "jobsdir", "dry-run"},
       {}},
      {"settings",
       "print the effective settings; 'settings convert FILE.ini' prints a sardinecake file as TOML",
       common + answer,
       {{"IMAGE", "for jobs on this image; or 'convert'", false}, {"FILE", "the file to convert", false}}},
      {"selftest",
       "look whether this machine has what is needed",
       common + answer + OptionNames{"ocidir", "vmdir", "jobsdir", "virt-type"},
       {}},
  };
  return rules;
}

/// As CLI11 wants them: -d,--ocidir
std::string option_names(const OptionRule& rule) {
  static const std::map<std::string_view, std::string> short_names{
      {"name", "-n"},   {"ocidir", "-d"},   {"password", "-p"}, {"source", "-s"},
      {"target", "-t"}, {"username", "-u"}, {"vmdir", "-o"}};
  const auto found = short_names.find(rule.name);
  auto names = found == short_names.end() ? "" : found->second + ",";
  names += "--" + std::string(rule.name);
  if (!rule.alias.empty()) names += ",--" + std::string(rule.alias);
  return names;
}

class CommandLine {
 public:
  CommandLine() : app_("Ephemeral libvirt VMs for GitLab CI jobs, and their images", program_name) {
    app_.set_version_flag("-V,--version", std::string(program_name) + " " + program_version);
    app_.require_subcommand(1);
    app_.set_help_all_flag("--help-all", "Help of all commands");
    add_verbosity(app_);
    for (const auto* name : {"connect", "no-run", "username", "password", "identity-file"})
      add_option(app_, name);
    for (const auto& rule : command_rules()) add_command(rule);
  }

  CliResult parse(int argc, const char* const* argv) {
    try {
      app_.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
      std::ostringstream out;
      std::ostringstream complaint;
      const int code = app_.exit(error, out, complaint);
      if (const auto word = unknown_command(argc, argv); code != 0 && !word.empty())
        complaint.str("There is no command '" + word + "'; " + program_name + " --help lists them\n");
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
  /// The first word, if it is to be a command and is none.
  static std::string unknown_command(int argc, const char* const* argv) {
    const std::string word = argc > 1 ? argv[1] : "";
    if (word.empty() || word.front() == '-' || command_names().contains(word)) return "";
    return word;
  }

  void add_option(CLI::App& app, std::string_view name) {
    const auto& rule = *find_rule(name);
    const auto take = [this, &rule](const std::string& text) {
      OptionValue value{.items = {rule.choices.empty() ? text : lowered(text)}, .origin = "command line"};
      try {
        check_value(rule, value);
      } catch (const Error& error) {
        throw CLI::ValidationError(error.what());
      }
      invocation_.options[std::string(rule.name)] = std::move(value);
    };
    if (rule.kind == ValueKind::flag) {
      app.add_flag_callback(
          option_names(rule), [take] { take("true"); }, std::string(rule.help));
    } else {
      app.add_option_function<std::string>(option_names(rule), take, std::string(rule.help));
    }
  }

  void add_verbosity(CLI::App& app) {
    app.add_flag("-v,--verbose", verbose_, "say more; may be given twice");
    app.add_flag("-q,--quiet", quiet_, "say less");
  }

  void add_command(const CommandRule& rule) {
    auto& app = *app_.add_subcommand(rule.name, rule.help);
    add_verbosity(app);
    for (const auto name : rule.options) add_option(app, name);
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
