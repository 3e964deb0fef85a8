#include "executor/commands/settings_command.hpp"

#include <nlohmann/json.hpp>

#include "config/sardinecake_ini.hpp"
#include "core/foundation/text.hpp"

namespace sarde {

using nlohmann::ordered_json;

namespace {

bool is_secret(const std::string& name) {
  return name == "password";
}

std::string as_json_text(const OptionValues& values) {
  auto list = ordered_json::array();
  for (const auto& rule : option_rules()) {
    const auto found = values.find(std::string(rule.name));
    ordered_json entry{{"name", rule.name}, {"value", nullptr}, {"origin", nullptr}};
    if (found != values.end()) {
      const auto& items = found->second.items;
      if (rule.kind == ValueKind::list) {
        entry["value"] = items;
      } else if (!is_secret(found->first)) {
        entry["value"] = items.front();
      }
      entry["origin"] = found->second.origin;
    }
    if (rule.scope == OptionScope::everywhere) list.push_back(std::move(entry));
  }
  return list.dump(2);
}

std::string as_toml(const OptionValues& values) {
  std::vector<std::string> lines;
  for (const auto& rule : option_rules()) {
    if (rule.scope == OptionScope::call) continue;
    const std::string name(rule.name);
    const auto found = values.find(name);
    if (found == values.end()) {
      lines.push_back("# " + name + " is not set");
    } else if (is_secret(name)) {
      lines.push_back("# " + name + " is set by: " + found->second.origin);
    } else {
      SettingsFile one;
      one.top[name] = found->second;
      lines.push_back(trimmed(to_toml(one)) + "  # " + found->second.origin);
    }
  }
  return join(lines, "\n");
}

}  // namespace

std::string show_settings(const OptionValues& values, bool as_json) {
  return as_json ? as_json_text(values) : as_toml(values);
}

std::string convert_settings(const std::filesystem::path& ini, const std::set<std::string>& known_commands) {
  const auto read = read_ini_settings(ini, kind_of_ini(ini, known_commands), known_commands);
  std::string text = "# converted from " + ini.string() + "\n";
  for (const auto& note : read.notes) text += "# " + quote(note, 1000) + "\n";
  return trimmed(text + to_toml(read.file));
}

}  // namespace sarde
