#include "config/sardinecake_ini.hpp"

#include <algorithm>

#include "config/ini_text.hpp"
#include "config/option_table.hpp"
#include "config/units.hpp"
#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/system/files.hpp"

namespace sarde {

namespace {

constexpr auto default_section = "DEFAULT";

/// A value as our own files would write it.
std::string in_our_terms(const OptionRow& rule, const std::string& value) {
  if (rule.kind == ValueKind::flag && (value == "None" || value.empty())) return "false";
  // sardinecake's 0 is what we call 1: it says its steps.
  if (rule.name == "verbosity") {
    if (const auto number = parse_number(value)) return std::to_string(*number + 1);
    if (value.starts_with('-') && parse_number(value.substr(1))) return "0";
  }
  // It takes fractions of seconds, and its words in any case.
  if (rule.kind == ValueKind::seconds && value.find('.') != std::string::npos)
    return parse_number(value.substr(0, value.find('.'))) == 0U ? "1" : value.substr(0, value.find('.'));
  if (!rule.choices.empty()) return lowered(value);
  return value;
}

class IniSettingsReader {
 public:
  IniSettingsReader(std::string path, IniKind kind, const std::set<std::string>& known_commands)
      : path_(std::move(path)), kind_(kind), known_commands_(known_commands) {}

  IniSettings read(const std::vector<IniSection>& sections) {
    for (const auto& section : sections) {
      if (section.name == default_section) {
        result_.file.top = values_of(section);
      } else if (kind_ == IniKind::executor) {
        result_.file.images[section.name] = without_call_options(values_of(section));
      } else if (known_commands_.contains(section.name)) {
        result_.file.commands[section.name] = values_of(section);
      } else {
        note(section.line, "there is no command " + quote(section.name) + ": the section is left out");
      }
    }
    if (kind_ == IniKind::sarde) inherit();
    // sardinecake's jobs have the network that their image names.
    if (kind_ == IniKind::executor)
      result_.file.top.try_emplace("network", OptionValue{.items = {"image"}, .origin = path_});
    result_.file.top = without_call_options(std::move(result_.file.top));
    return std::move(result_);
  }

 private:
  void note(unsigned line, const std::string& what) {
    result_.notes.push_back(path_ + ", line " + std::to_string(line) + ": " + what);
  }

  OptionValues values_of(const IniSection& section) {
    OptionValues values;
    for (const auto& [key, text, line] : section.values) {
      auto name = key;
      std::ranges::replace(name, '_', '-');
      // sardinecake counts these; ours is one number.
      if (name == "verbose" || name == "quiet") {
        const auto count =
            parse_number(text).value_or(text.empty() || parse_flag(text).value_or(false) ? 1 : 0);
        const auto level = name == "verbose" ? 1 + count : 1 - std::min<std::uint64_t>(count, 1);
        values["verbosity"] = {.items = {std::to_string(level)},
                               .origin = path_ + ", line " + std::to_string(line)};
        continue;
      }
      const auto* rule = find_option(name);
      if (rule == nullptr) {
        note(line, "there is no option " + quote(key) + option_hint(name) + ": it is left out");
        continue;
      }
      OptionValue value{.items = {}, .origin = path_ + ", line " + std::to_string(line)};
      if (has_items(rule->kind)) {
        for (const auto& item : split(text, ',')) value.items.push_back(in_our_terms(*rule, trimmed(item)));
      } else {
        value.items.push_back(in_our_terms(*rule, text));
      }
      check_value(*rule, value);
      values[std::string(rule->name)] = std::move(value);
    }
    return values;
  }

  static OptionValues without_call_options(OptionValues values) {
    std::erase_if(values,
                  [](const auto& entry) { return find_option(entry.first)->scope == OptionScope::call; });
    return values;
  }

  /// What says what a call does is given to each command; and the file's user is the registry's, for `sarde`
  /// itself logs into no guest.
  void inherit() {
    for (const auto& [name, value] : result_.file.top) {
      if (find_option(name)->scope != OptionScope::call) continue;
      for (const auto& command : known_commands_) result_.file.commands[command].try_emplace(name, value);
    }
    for (const auto* name : {"username", "password"}) {
      const auto found = result_.file.top.find(name);
      if (found == result_.file.top.end()) continue;
      result_.file.commands["login"].try_emplace(name, found->second);
      result_.file.top.erase(found);
    }
  }

  std::string path_;
  IniKind kind_;
  const std::set<std::string>& known_commands_;
  IniSettings result_;
};

}  // namespace

IniSettings read_ini_settings(const std::filesystem::path& path, IniKind kind,
                              const std::set<std::string>& known_commands) {
  return IniSettingsReader(path.string(), kind, known_commands)
      .read(parse_ini(read_file(path), path.string()));
}

IniKind kind_of_ini(const std::filesystem::path& path, const std::set<std::string>& known_commands) {
  const auto sections = parse_ini(read_file(path), path.string());
  const bool names_images = std::ranges::any_of(sections, [&](const IniSection& section) {
    return section.name != default_section && !known_commands.contains(section.name);
  });
  return names_images ? IniKind::executor : IniKind::sarde;
}

}  // namespace sarde
