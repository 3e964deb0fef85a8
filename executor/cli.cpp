#include "executor/cli.hpp"

#include <algorithm>
#include <filesystem>
#include <sstream>

#include <CLI/CLI.hpp>

#include "config/option_table.hpp"
#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/foundation/version.hpp"
#include "executor/wiring/command_table.hpp"

namespace sarde {

namespace {

/// In the form that CLI11 takes: -d,--ocidir
std::string option_names(const OptionRow& row) {
  std::string names = row.letter == 0 ? "" : std::string("-") + row.letter + ",";
  names += "--" + std::string(row.name);
  if (!row.alias.empty()) names += ",--" + std::string(row.alias);
  return names;
}

/// Options that may come before the command, as in sardinecake.
bool may_come_first(const OptionRow& row) {
  constexpr std::array<std::string_view, 5> early{"connect", "no-run", "username", "password",
                                                  "identity-file"};
  return std::ranges::find(early, row.name) != early.end();
}

class CommandLine {
 public:
  CommandLine() : app_("Ephemeral libvirt VMs for GitLab CI jobs, and their images", program_name) {
    app_.set_version_flag("-V,--version", std::string(program_name) + " " + program_version);
    app_.require_subcommand(1);
    app_.set_help_all_flag("--help-all", "print the help of all commands");
    add_verbosity(app_);
    for (const auto& row : option_table)
      if (may_come_first(row)) add_option(app_, row);
    for (const auto& row : command_table()) add_command(row);
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
  /// The first word, if it should be a command but is not.
  static std::string unknown_command(int argc, const char* const* argv) {
    const std::string word = argc > 1 ? argv[1] : "";
    if (word.empty() || word.front() == '-' || command_names().contains(word)) return "";
    return word;
  }

  void add_option(CLI::App& app, const OptionRow& rule) {
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
    app.add_flag("-v,--verbose", verbose_, "show details; may be given twice");
    app.add_flag("-q,--quiet", quiet_, "show results and warnings only");
  }

  void add_command(const CommandRow& rule) {
    auto& app =
        *app_.add_subcommand(std::string(rule.name), std::string(rule.help))->group(std::string(rule.group));
    add_verbosity(app);
    for (const auto& row : option_table)
      if (is_option_of(row, rule.name)) add_option(app, row);
    for (std::size_t i = 0; i < rule.positionals.size(); ++i) {
      auto* option = app.add_option(std::string(rule.positionals[i].name), positionals_[i],
                                    std::string(rule.positionals[i].help));
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

}  // namespace sarde
