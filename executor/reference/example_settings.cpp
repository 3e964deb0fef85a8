#include "config/option_table.hpp"
#include "config/option_words.hpp"
#include "core/foundation/text.hpp"
#include "executor/reference/reference.hpp"

namespace sarde {

namespace {

constexpr auto intro =
    R"(# For /etc/sardinecake/sarde.toml, or ~/.config/sardinecake/sarde.toml, which overrides it. This file lists every setting.
# A value is the default, unless the line ends with (example); docs/options.md has all defaults. Each setting is also a
# command-line option (--ocidir; not if docs/options.md says "settings only") and an environment variable (SARDE_OCIDIR).
# docs/settings.md says which of them takes precedence. This file is generated; copy it, and remove the # in front of the
# settings that you change.
)";

constexpr auto sections = R"(
# For one command:
# [commands.export]
# compression = "fast"
# [commands.prune]                          # what sarde-prune.timer removes; nothing as long as neither is set
# budget = "200GiB"
# older-than = "30d"

# For jobs on certain images. An exact name takes precedence over patterns, and a longer pattern over a shorter one. Such a
# section overrides the command line.
# [images."registry.example.org/vms/windows*"]
# shell = "powershell"
# username = "ci"
# guest-builds-dir = 'C:\GitLab\builds'
# guest-cache-dir = 'C:\GitLab\cache'
# boot-timeout = 900
)";

std::string toml_value(const OptionRow& row) {
  const auto initial = shown_initial(row);
  const auto text = row.example.empty() ? initial : std::string(row.example);
  if (row.kind == ValueKind::list)
    return text.empty() ? "[]" : "[\"" + join(split(text, ','), "\", \"") + "\"]";
  if (row.kind == ValueKind::pairs) {
    const auto equals = text.find('=');
    return "{ " + text.substr(0, equals) + " = \"" + text.substr(equals + 1) + "\" }";
  }
  const bool is_bare = row.kind == ValueKind::flag || row.kind == ValueKind::factor ||
                       (!text.empty() && text.find_first_not_of("0123456789") == std::string::npos);
  return is_bare ? text : "\"" + text + "\"";
}

}  // namespace

std::string example_settings() {
  std::string file = intro;
  for (const auto& group : option_groups()) {
    if (group == option_group::calls) continue;
    file += "\n# " + std::string(group) + "\n";
    for (const auto& row : option_table) {
      if (row.group != group) continue;
      auto line = "# " + std::string(row.name) + " = " + toml_value(row);
      constexpr std::size_t column = 44;
      line.resize(std::max(line.size() + 2, column), ' ');
      const bool is_example = !row.example.empty() && row.example != shown_initial(row);
      file += line + "# " + std::string(row.help) + (is_example ? " (example)" : "") + "\n";
    }
  }
  return file + sections;
}

}  // namespace sarde
