#include "config/option_table.hpp"
#include "core/foundation/text.hpp"
#include "executor/reference/reference.hpp"
#include "executor/wiring/command_table.hpp"

namespace sarde {

namespace {

constexpr auto common_options = "--help --verbose --quiet";

std::vector<std::string> every_command() {
  const auto names = command_names();
  return {names.begin(), names.end()};
}

std::vector<std::string> options_of(const CommandRow& command) {
  std::vector<std::string> options;
  for (const auto& row : option_table)
    if (is_option_of(row, command.name)) options.push_back("--" + std::string(row.name));
  return options;
}

/// The long and short names, as a pattern for the shell's case statement.
std::string case_pattern(const OptionRow& row) {
  auto pattern = "--" + std::string(row.name);
  if (!row.alias.empty()) pattern += "|--" + std::string(row.alias);
  if (row.letter != 0) pattern += std::string("|-") + row.letter;
  return pattern;
}

/// Escapes the text for single quotes in zsh and fish. Also replaces [, ] and :, which have a meaning in
/// zsh's _arguments.
std::string quoted_help(std::string_view help) {
  std::string text;
  for (const char c : help) {
    if (c == '\'') {
      text += "'\\''";
    } else if (c == '[') {
      text += '(';
    } else if (c == ']') {
      text += ')';
    } else if (c == ':') {
      text += ',';
    } else {
      text += c;
    }
  }
  return text;
}

}  // namespace

std::string bash_completion() {
  const auto commands = every_command();
  std::string script =
      "# bash completion for sarde-executor and sarde; generated from the program's tables\n"
      "_sarde() {\n  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command= i\n"
      "  COMPREPLY=()\n  for ((i = 1; i < COMP_CWORD; ++i)); do\n    case ${COMP_WORDS[i]} in\n      " +
      join(commands, "|") + ") command=${COMP_WORDS[i]}; break ;;\n    esac\n  done\n  case $before in\n";
  for (const auto& row : option_table) {
    if (row.commands.empty() || row.kind == ValueKind::flag) continue;
    const auto words = !row.choices.empty()
                           ? "COMPREPLY=($(compgen -W '" + std::string(row.choices) + "' -- \"$word\"))"
                       : row.kind == ValueKind::path ? std::string("COMPREPLY=($(compgen -f -- \"$word\"))")
                                                     : std::string(":");
    script += "    " + case_pattern(row) + ") " + words + "; return ;;\n";
  }
  script += "  esac\n  case $command in\n    '') COMPREPLY=($(compgen -W '" + join(commands, " ") +
            " --help --version' -- \"$word\")) ;;\n";
  for (const auto& row : command_table())
    script += "    " + std::string(row.name) + ") [[ $word != -* ]] || COMPREPLY=($(compgen -W '" +
              join(options_of(row), " ") + " " + common_options + "' -- \"$word\")) ;;\n";
  return script +
         "  esac\n  [[ ${#COMPREPLY[@]} -ne 0 || $word == -* || -z $command ]] || COMPREPLY=($(compgen -f -- "
         "\"$word\"))\n"
         "}\ncomplete -F _sarde sarde-executor sarde\n";
}

std::string zsh_completion() {
  std::string script =
      "#compdef sarde-executor sarde\n# generated from the program's tables\n\nlocal -a commands "
      "options\ncommands=(\n";
  for (const auto& row : command_table())
    script += "  '" + std::string(row.name) + ":" + quoted_help(row.help) + "'\n";
  script +=
      ")\nif (( CURRENT == 2 )); then\n  _describe -t commands command commands\n  return\nfi\ncase "
      "$words[2] in\n";
  for (const auto& command : command_table()) {
    script += "  " + std::string(command.name) + ")\n    options=(\n";
    for (const auto& row : option_table) {
      if (!is_option_of(row, command.name)) continue;
      const auto value = row.kind == ValueKind::flag ? std::string()
                         : !row.choices.empty()
                             ? ":" + std::string(row.name) + ":(" + std::string(row.choices) + ")"
                         : row.kind == ValueKind::path ? ":" + std::string(row.name) + ":_files"
                                                       : ":" + std::string(row.name) + ":";
      script += "      '--" + std::string(row.name) + "[" + quoted_help(row.help) + "]" + value + "'\n";
    }
    script += "    )\n    ;;\n";
  }
  return script +
         "esac\nshift words\n(( CURRENT-- ))\n_arguments $options '--help[print help]' '*--verbose[show "
         "details]' '--quiet[show results and warnings only]' '*: :_files'\n";
}

std::string fish_completion(std::string_view program) {
  const auto complete = "complete -c " + std::string(program);
  std::string script = "# generated from the program's tables\n";
  for (const auto& row : command_table())
    script += complete + " -f -n __fish_use_subcommand -a " + std::string(row.name) + " -d '" +
              quoted_help(row.help) + "'\n";
  for (const auto& row : option_table) {
    if (row.commands.empty()) continue;
    const auto commands = row.commands == "*" ? join(every_command(), " ") : std::string(row.commands);
    auto line = complete + " -n '__fish_seen_subcommand_from " + commands + "' -l " + std::string(row.name);
    if (row.letter != 0) line += std::string(" -s ") + row.letter;
    if (!row.choices.empty()) line += " -x -a '" + std::string(row.choices) + "'";
    if (row.choices.empty() && row.kind == ValueKind::path) line += " -r -F";
    if (row.choices.empty() && row.kind != ValueKind::path && row.kind != ValueKind::flag) line += " -x";
    script += line + " -d '" + quoted_help(row.help) + "'\n";
  }
  return script + complete + " -s v -l verbose -d 'show details'\n" + complete +
         " -s q -l quiet -d 'show results and warnings only'\n" + complete +
         " -s h -l help -d 'print help'\n";
}

}  // namespace sarde
