#include "config/option_table.hpp"
#include "config/option_words.hpp"
#include "core/foundation/text.hpp"
#include "executor/reference/reference.hpp"

namespace sarde {

namespace {

constexpr auto intro = R"(# Options and settings

Every option and setting, with its default and the commands that take it. (This page is generated from the program's own tables, `config/option_table.hpp`; edits by hand are overwritten.) Its long name is also its key in `sarde.toml`. The environment variable is `SARDE_` and the name in capitals with underscores (`SARDE_BOOT_TIMEOUT`). [settings.md](settings.md) says which place takes precedence, and [commands.md](commands.md) describes the commands.

- **TIME** is a whole number of seconds, or a number with a unit: `90`, `45m`, `12h`, `30d`, `2w`.
- **SIZE** is a number of bytes, or a number with a unit: `256MiB`, `1.5GB`, `64k`. k, M, G, T and KiB, MiB, GiB, TiB count by 1024; kB, MB, GB, TB by 1000.
- **LIST** is a TOML array. In a variable, its items are separated by commas.
- **commands** lists the commands that accept the option on their command line. `try` and `warm` also accept those of `prepare`. "settings only" means that the option can be set only in files and in the environment.
- Jobs may set the options marked **job** if `job-settable` lists them.
- The defaults are those of a system-wide installation. Without root privileges, `/var/lib/sardinecake` is `$XDG_DATA_HOME/sardinecake` (`~/.local/share/sardinecake`), and `qemu:///system` is `qemu:///session`.

`-h`/`--help`, `--help-all`, `-v`/`--verbose` and `-q`/`--quiet` work with every command. `-V`/`--version` is used without a command.
)";

std::string code(const std::string& text) {
  return text.empty() ? "" : "`" + text + "`";
}

std::string names(const OptionRow& row) {
  const bool is_typed = !row.commands.empty();
  const auto word = std::string(value_word(row));
  std::string all;
  if (row.letter != 0) all += code(std::string("-") + row.letter) + ", ";
  all += code((is_typed ? "--" : "") + std::string(row.name) + (word.empty() || !is_typed ? "" : " " + word));
  if (!row.alias.empty()) all += ", " + code("--" + std::string(row.alias));
  return all;
}

std::string commands(const OptionRow& row) {
  if (row.commands.empty()) return "settings only";
  return row.commands == "*" ? "all" : join(words_of(row.commands), ", ");
}

/// Escapes characters that have a meaning in a table: a pipe ends a cell, and < begins a tag.
std::string cell(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '|' || c == '<' || c == '*') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

}  // namespace

std::string options_page() {
  std::string page = intro;
  for (const auto& group : option_groups()) {
    page += "\n## " + std::string(group) + "\n\n";
    if (group == option_group::calls)
      page +=
          "These belong on the command line or in a command's section of a file; they have no "
          "variable.\n\n";
    page += "| option | meaning | default | commands |\n| --- | --- | --- | --- |\n";
    for (const auto& row : option_table) {
      if (row.group != group) continue;
      auto meaning = cell(row.help);
      if (!row.choices.empty()) meaning += ". One of " + code(join(words_of(row.choices), "`, `"));
      if (row.job_may_set) meaning += ". **job**";
      page += "| " + names(row) + " | " + meaning + " | " + code(shown_initial(row)) + " | " + commands(row) +
              " |\n";
    }
  }
  return page;
}

}  // namespace sarde
