#include "executor/commands/settings_command.hpp"

#include <nlohmann/json.hpp>

#include "config/option_table.hpp"
#include "config/sardinecake_ini.hpp"
#include "core/foundation/json_text.hpp"
#include "core/foundation/text.hpp"

namespace sarde {

using nlohmann::ordered_json;

namespace {

bool is_secret(const std::string& name) {
  return name == "password";
}

ordered_json as_json_entry(const OptionRow& rule, const OptionValue* value) {
  ordered_json entry{{"name", rule.name}, {"value", nullptr}, {"origin", nullptr}};
  if (value == nullptr) return entry;
  if (has_items(rule.kind)) {
    entry["value"] = value->items;
  } else if (!is_secret(std::string(rule.name))) {
    entry["value"] = value->items.front();
  }
  entry["origin"] = value->origin;
  return entry;
}

std::string as_json_text(const OptionValues& values, const std::map<std::string, OptionValues>& sections) {
  auto list = ordered_json::array();
  for (const auto& rule : option_table) {
    if (rule.scope == OptionScope::call) continue;
    const auto found = values.find(std::string(rule.name));
    list.push_back(as_json_entry(rule, found == values.end() ? nullptr : &found->second));
  }
  for (const auto& [command, options] : sections) {
    for (const auto& [name, value] : options) {
      list.push_back(as_json_entry(*find_option(name), &value));
      list.back()["command"] = command;
    }
  }
  return json_text(list);
}

/// One line of TOML, with a comment that says where the value comes from.
std::string as_toml_line(const std::string& name, const OptionValue& value) {
  if (is_secret(name)) return "# " + name + " is set by: " + value.origin;
  SettingsFile one;
  one.top[name] = value;
  return trimmed(to_toml(one)) + "  # " + value.origin;
}

std::string as_toml(const OptionValues& values, const std::map<std::string, OptionValues>& sections) {
  std::vector<std::string> lines;
  for (const auto& rule : option_table) {
    if (rule.scope == OptionScope::call) continue;
    const std::string name(rule.name);
    const auto found = values.find(name);
    lines.push_back(found == values.end() ? "# " + name + " is not set" : as_toml_line(name, found->second));
  }
  for (const auto& [command, options] : sections) {
    lines.push_back("\n[commands." + command + "]");
    for (const auto& [name, value] : options) lines.push_back(as_toml_line(name, value));
  }
  return join(lines, "\n");
}

}  // namespace

std::string show_settings(const OptionValues& values, const std::map<std::string, OptionValues>& sections,
                          bool as_json) {
  return as_json ? as_json_text(values, sections) : as_toml(values, sections);
}

std::string convert_settings(const std::filesystem::path& ini, bool is_executors,
                             const std::set<std::string>& known_commands) {
  const auto kind = is_executors ? IniKind::executor : kind_of_ini(ini, known_commands);
  const auto read = read_ini_settings(ini, kind, known_commands);
  std::string text =
      "# converted from " + ini.string() + ", which " +
      (kind == IniKind::sarde ? "was read as a file of sardinecake's own commands (--executor: of its "
                                "GitLab executor)"
       : is_executors         ? "was read as a file of sardinecake's GitLab executor"
                              : "was read as a file of sardinecake's GitLab executor, because it "
                                "has sections for images") +
      "\n";
  for (const auto& note : read.notes) text += "# " + quote(note, 1000) + "\n";
  return trimmed(text + to_toml(read.file));
}

}  // namespace sarde
