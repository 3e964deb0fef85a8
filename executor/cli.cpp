#include "executor/cli.hpp"

#include <algorithm>
#include <filesystem>

#include <CLI/CLI.hpp>

#include "config/option_table.hpp"
#include "config/option_words.hpp"
#include "core/foundation/did_you_mean.hpp"
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
  explicit CommandLine(std::string program)
      : program_(std::move(program)),
        app_("Ephemeral libvirt VMs for GitLab CI jobs, and their images", program_) {
    app_.set_version_flag("-V,--version", std::string(program_name) + " " + program_version,
                          "print the program's version");
    app_.set_help_flag("-h,--help", "print this help");
    app_.set_help_all_flag("--help-all", "print the help of all commands");
    app_.require_subcommand(0, 1);  // a later word may be an image that is called like a command
    app_.get_formatter()->label("SUBCOMMAND", "COMMAND");
    app_.footer("'" + program_ + " help COMMAND' describes a command, 'man " + program_ + "' everything.\n");
    add_verbosity(app_);
    for (const auto& row : option_table)
      if (may_come_first(row)) add_option(app_, row);
    for (const auto& row : command_table()) add_command(row);
  }

  CliResult parse(std::vector<std::string> words) {
    if (words.empty()) words = {"--help"};
    if (words.front() == "help") words = {words.size() > 1 ? words[1] : "--help", "--help"};
    const auto first = words.front();
    if (!first.starts_with('-') && find_command(first) == nullptr) return complaint("", first);
    std::ranges::reverse(words);  // CLI11 takes them from the end
    try {
      app_.parse(words);
    } catch (const CLI::CallForHelp&) {
      return answer(app_.help());
    } catch (const CLI::CallForAllHelp&) {
      return answer(app_.help("", CLI::AppFormatMode::All));
    } catch (const CLI::CallForVersion& version) {
      return answer(std::string(version.what()) + "\n");
    } catch (const CLI::ParseError& error) {
      return complaint(error.what(), first);
    }
    if (app_.get_subcommands().empty()) return complaint("A command is required", first);
    invocation_.is_sarde = program_ == "sarde";
    invocation_.command = app_.get_subcommands().front()->get_name();
    for (auto& argument : positionals_) {
      if (!argument.empty()) invocation_.arguments.push_back(argument);
    }
    auto& arguments = invocation_.arguments;
    arguments.insert(arguments.end(), repeated_.begin(), repeated_.end());
    if (verbose_ != 0 || quiet_ != 0) {
      invocation_.options["verbosity"] = {.items = {std::to_string(std::max(0, 1 + verbose_ - quiet_))},
                                          .origin = "command line"};
    }
    return {.invocation = std::move(invocation_), .answer = {}};
  }

 private:
  static CliResult answer(std::string text) {
    return {.invocation = {}, .answer = {.text = std::move(text), .is_complaint = false}};
  }

  /// `first`: the command line's first word, which should have been a command.
  CliResult complaint(std::string what, const std::string& first) {
    const auto commands = app_.get_subcommands();
    auto hint = program_ + " --help";
    std::vector<std::string> known;
    std::string wrong;
    if (commands.empty() && !first.starts_with('-')) {
      what = "There is no command '" + printable_line(first, 60) + "'";
      wrong = first;
      for (const auto& row : command_table()) known.emplace_back(row.name);
    } else if (!commands.empty()) {
      hint = program_ + " " + commands.front()->get_name() + " --help";
      for (const auto* option : commands.front()->get_options())
        for (const auto& name : option->get_lnames()) known.push_back("--" + name);
    }
    for (const auto& word : app_.remaining(true))
      if (wrong.empty() && word.starts_with("--")) wrong = word.substr(0, word.find('='));
    return {.invocation = {},
            .answer = {.text = "ERROR: " + what + did_you_mean(wrong, known) + "\nSee '" + hint + "'.\n",
                       .is_complaint = true}};
  }

  void add_option(CLI::App& app, const OptionRow& rule) {
    const auto take_all = [this, &rule](const std::vector<std::string>& texts) {
      OptionValue value{.items = texts, .origin = "command line"};
      if (!rule.choices.empty())
        for (auto& item : value.items) item = lowered(item);
      try {
        check_value(rule, value);
      } catch (const Error& error) {
        throw CLI::ValidationError(error.what());
      }
      invocation_.options[std::string(rule.name)] = std::move(value);
    };
    const auto take = [take_all](const std::string& text) { take_all({text}); };
    const auto help = std::string(rule.help) +
                      (rule.choices.empty() ? "" : " (one of: " + join(words_of(rule.choices), ", ") + ")");
    if (rule.kind == ValueKind::flag) {
      app.add_flag_function(
          option_names(rule), [take](std::int64_t count) { take(count > 0 ? "true" : "false"); }, help);
      return;
    }
    // A list is given by repeating the option.
    const bool is_list = has_items(rule.kind);
    auto* option = is_list
                       ? app.add_option_function<std::vector<std::string>>(option_names(rule), take_all, help)
                       : app.add_option_function<std::string>(option_names(rule), take, help);
    if (is_list) option->allow_extra_args(false);
    option->type_name(std::string(value_word(rule)));
    option->default_str(shown_initial(rule));
  }

  void add_verbosity(CLI::App& app) {
    app.add_flag("-v,--verbose", verbose_, "show details");
    app.add_flag("-q,--quiet", quiet_, "show results and warnings only");
  }

  void add_command(const CommandRow& rule) {
    auto& app =
        *app_.add_subcommand(std::string(rule.name), std::string(rule.help))->group(std::string(rule.group));
    app.set_help_flag("-h,--help", "print this help");
    if (!rule.more.empty()) app.footer(std::string(rule.more) + "\n");
    add_verbosity(app);
    for (const auto& row : option_table)
      if (is_option_of(row, rule.name)) add_option(app, row);
    for (std::size_t i = 0; i < rule.positionals.size(); ++i) {
      const auto& positional = rule.positionals[i];
      const std::string name(positional.name);
      const std::string help(positional.help);
      auto* option = positional.repeated ? app.add_option(name, repeated_, help)
                                         : app.add_option(name, positionals_[i], help);
      option->required(positional.required);
      option->type_name("");
    }
  }

  std::string program_;
  CLI::App app_;
  Invocation invocation_;
  std::array<std::string, 2> positionals_;
  std::vector<std::string> repeated_;  ///< the words of a positional that may be repeated
  int verbose_ = 0;
  int quiet_ = 0;
};

}  // namespace

CliResult parse_command_line(int argc, const char* const* argv) {
  const auto called = argc > 0 ? std::filesystem::path(argv[0]).filename().string() : std::string();
  const auto program = called == "sarde" ? called : std::string(program_name);
  return CommandLine(program).parse({argv + std::min(argc, 1), argv + argc});
}

}  // namespace sarde
