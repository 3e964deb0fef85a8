#include "config/settings_file.hpp"

#define TOML_EXCEPTIONS 1
#include <toml++/toml.h>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/system/files.hpp"

namespace sarde {

namespace {

class FileReader {
 public:
  FileReader(std::string path, const std::set<std::string>& known_commands)
      : path_(std::move(path)), known_commands_(known_commands) {}

  SettingsFile read(const toml::table& table) {
    SettingsFile file;
    for (const auto& [key, node] : table) {
      if (key == "commands") {
        file.commands = sections(node, "commands");
        for (const auto& [name, values] : file.commands) {
          if (!known_commands_.contains(name)) fail(node, "there is no command " + quote(name));
        }
      } else if (key == "images") {
        file.images = sections(node, "images");
      } else {
        file.top[std::string(key.str())] = option(key.str(), node);
      }
    }
    return file;
  }

 private:
  [[noreturn]] void fail(const toml::node& node, const std::string& what) const {
    throw Error(Blame::job, path_ + ", line " + std::to_string(node.source().begin.line) + ": " + what);
  }

  std::map<std::string, OptionValues> sections(const toml::node& node, const std::string& name) const {
    const auto* table = node.as_table();
    if (table == nullptr) fail(node, quote(name) + " is not a table of sections");
    std::map<std::string, OptionValues> result;
    for (const auto& [key, section] : *table) {
      const auto* options = section.as_table();
      if (options == nullptr) fail(section, quote(name + "." + std::string(key.str())) + " is not a section");
      auto& values = result[std::string(key.str())];
      for (const auto& [option_key, value] : *options)
        values[std::string(option_key.str())] = option(option_key.str(), value);
    }
    return result;
  }

  [[nodiscard]] OptionValue option(std::string_view name, const toml::node& node) const {
    const auto* rule = find_rule(name);
    if (rule == nullptr) fail(node, "there is no option " + quote(name));
    OptionValue value{.items = {}, .origin = path_ + ", line " + std::to_string(node.source().begin.line)};
    if (const auto* list = node.as_array(); list != nullptr && rule->kind == ValueKind::list) {
      for (const auto& item : *list) value.items.push_back(scalar(item, *rule));
    } else {
      value.items.push_back(scalar(node, *rule));
    }
    check_value(*rule, value);
    return value;
  }

  /// The text of a value whose TOML type fits the option.
  [[nodiscard]] std::string scalar(const toml::node& node, const OptionRule& rule) const {
    const bool numeric =
        rule.kind == ValueKind::number || rule.kind == ValueKind::seconds || rule.kind == ValueKind::size;
    if (node.is_string() && (!numeric || rule.kind == ValueKind::size) && rule.kind != ValueKind::flag)
      return node.value_or(std::string());
    if (node.is_integer() && numeric) return std::to_string(node.value_or(std::int64_t{-1}));
    if (node.is_boolean() && rule.kind == ValueKind::flag) return node.value_or(false) ? "true" : "false";
    const auto* const wanted = rule.kind == ValueKind::flag   ? "true or false"
                               : numeric                      ? "a number"
                               : rule.kind == ValueKind::list ? "a list of texts"
                                                              : "a text in quotes";
    fail(node, std::string(rule.name) + " wants " + wanted);
  }

  std::string path_;
  const std::set<std::string>& known_commands_;
};

}  // namespace

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
