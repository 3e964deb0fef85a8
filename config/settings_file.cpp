#include "config/settings_file.hpp"

#include <cstdint>
#include <fmt/format.h>
#include <sstream>

#include "config/option_table.hpp"
#include "config/toml_text.hpp"
#include "config/units.hpp"
#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/system/files.hpp"

namespace sarde {

namespace {

bool is_number(ValueKind kind) {
  using enum ValueKind;
  return kind != text && kind != path && kind != flag && !has_items(kind);
}

class FileReader {
 public:
  FileReader(std::string path, const std::set<std::string>& known_commands)
      : path_(std::move(path)), known_commands_(known_commands) {}

  SettingsFile read(const toml::table& table) {
    SettingsFile file;
    for (const auto& [key, node] : table) {
      if (key == "commands") {
        file.commands = sections(node, "commands", OptionScope::call);
        for (const auto& [name, values] : file.commands) {
          if (!known_commands_.contains(name)) fail(node, "there is no command " + quote(name));
        }
      } else if (key == "images") {
        file.images = sections(node, "images", OptionScope::everywhere);
      } else {
        file.top[std::string(find_name(key.str(), node))] = option(key.str(), node, OptionScope::everywhere);
      }
    }
    return file;
  }

 private:
  [[noreturn]] void fail(const toml::node& node, const std::string& what) const {
    throw Error(Blame::job, path_ + ", line " + std::to_string(node.source().begin.line) + ": " + what);
  }

  /// `scope`: what may stand in these sections beside the options that may stand everywhere.
  std::map<std::string, OptionValues> sections(const toml::node& node, const std::string& name,
                                               OptionScope scope) const {
    const auto* table = node.as_table();
    if (table == nullptr) fail(node, quote(name) + " is not a table of sections");
    std::map<std::string, OptionValues> result;
    for (const auto& [key, section] : *table) {
      const auto* options = section.as_table();
      if (options == nullptr) fail(section, quote(name + "." + std::string(key.str())) + " is not a section");
      auto& values = result[std::string(key.str())];
      for (const auto& [option_key, value] : *options)
        values[std::string(find_name(option_key.str(), value))] = option(option_key.str(), value, scope);
    }
    return result;
  }

  /// The option's own name, where sardinecake's may have been written.
  [[nodiscard]] std::string_view find_name(std::string_view name, const toml::node& node) const {
    const auto* rule = find_option(name);
    if (rule == nullptr) fail(node, "there is no option " + quote(name) + option_hint(name));
    return rule->name;
  }

  [[nodiscard]] OptionValue option(std::string_view name, const toml::node& node, OptionScope scope) const {
    const auto* rule = find_option(find_name(name, node));
    if (rule->scope == OptionScope::call && scope != OptionScope::call) {
      fail(node, std::string(name) +
                     " says what one call does: it belongs on the command line, or into a "
                     "[commands.…] section");
    }
    OptionValue value{.items = {}, .origin = path_ + ", line " + std::to_string(node.source().begin.line)};
    if (const auto* list = node.as_array(); list != nullptr && rule->kind == ValueKind::list) {
      for (const auto& item : *list) value.items.push_back(scalar(item, *rule));
    } else if (rule->kind == ValueKind::pairs) {
      const auto* table = node.as_table();
      if (table == nullptr) fail(node, std::string(name) + " wants a table of texts");
      for (const auto& [key, text] : *table) {
        const std::string pair_name(key.str());
        if (pair_name.find('=') != std::string::npos)
          fail(text, std::string(name) + ": the name " + quote(pair_name) + " may not contain '='");
        value.items.push_back(pair_name + "=" + scalar(text, *rule));
      }
    } else {
      value.items.push_back(scalar(node, *rule));
    }
    check_value(*rule, value);
    return value;
  }

  /// The text of a value whose TOML type fits the option.
  [[nodiscard]] std::string scalar(const toml::node& node, const OptionRow& rule) const {
    const bool numeric = is_number(rule.kind);
    const bool has_unit = rule.kind != ValueKind::number && rule.kind != ValueKind::port &&
                          rule.kind != ValueKind::count && rule.kind != ValueKind::count_share &&
                          rule.kind != ValueKind::factor;
    if (node.is_string() && (!numeric || has_unit) && rule.kind != ValueKind::flag)
      return node.value_or(std::string());
    if (rule.kind == ValueKind::count_share && node.value_or(std::string()) == "auto")
      return node.value_or(std::string());
    if (node.is_floating_point() && rule.kind == ValueKind::factor)
      return fmt::format("{}", node.value_or(0.0));
    if (node.is_integer() && numeric) return std::to_string(node.value_or(std::int64_t{-1}));
    if (node.is_boolean() && rule.kind == ValueKind::flag) return node.value_or(false) ? "true" : "false";
    const auto* const wanted = rule.kind == ValueKind::flag    ? "true or false"
                               : numeric                       ? "a number"
                               : rule.kind == ValueKind::list  ? "a list of texts"
                               : rule.kind == ValueKind::pairs ? "texts in quotes"
                                                               : "a text in quotes";
    const bool has_auto = rule.kind == ValueKind::count_share || rule.kind == ValueKind::memory_share;
    fail(node, std::string(rule.name) + " wants " + wanted + (has_auto ? " or \"auto\"" : ""));
  }

  std::string path_;
  const std::set<std::string>& known_commands_;
};

toml::table table_of(const OptionValues& values) {
  toml::table table;
  for (const auto& [name, value] : values) {
    const auto kind = find_option(name)->kind;
    if (kind == ValueKind::list) {
      toml::array items;
      for (const auto& item : value.items) items.push_back(item);
      table.insert(name, std::move(items));
      continue;
    }
    if (kind == ValueKind::pairs) {
      toml::table pairs;
      for (const auto& item : value.items) {
        const auto equals = item.find('=');
        pairs.insert(item.substr(0, equals), item.substr(equals + 1));
      }
      table.insert(name, std::move(pairs));
      continue;
    }
    const auto& text = value.items.front();
    const bool numeric = is_number(kind);
    const auto number = numeric ? parse_number(text) : std::nullopt;
    if (kind == ValueKind::flag) {
      table.insert(name, parse_flag(text).value_or(false));
    } else if (number && *number <= INT64_MAX) {
      table.insert(name, static_cast<std::int64_t>(*number));
    } else {
      table.insert(name, text);
    }
  }
  return table;
}

toml::table table_of(const std::map<std::string, OptionValues>& sections) {
  toml::table table;
  for (const auto& [name, values] : sections) table.insert(name, table_of(values));
  return table;
}

}  // namespace

std::string to_toml(const SettingsFile& file) {
  auto table = table_of(file.top);
  if (!file.commands.empty()) table.insert("commands", table_of(file.commands));
  if (!file.images.empty()) table.insert("images", table_of(file.images));
  std::ostringstream text;
  text << table << '\n';
  return text.str();
}

void SettingsFile::lay_over(const SettingsFile& later) {
  const auto over = [](OptionValues& values, const OptionValues& newer) {
    for (const auto& [name, value] : newer) values[name] = value;
  };
  over(top, later.top);
  for (const auto& [name, values] : later.commands) over(commands[name], values);
  for (const auto& [name, values] : later.images) over(images[name], values);
}

SettingsFile read_settings_file(const std::filesystem::path& path,
                                const std::set<std::string>& known_commands) {
  const auto text = read_file(path);
  try {
    return FileReader(path.string(), known_commands).read(toml::parse(text));
  } catch (const toml::parse_error& error) {
    throw Error(Blame::job, path.string() + ", line " + std::to_string(error.source().begin.line) + ": " +
                                std::string(error.description()));
  }
}

}  // namespace sarde
