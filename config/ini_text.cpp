#include "config/ini_text.hpp"

#include <algorithm>
#include <cctype>
#include <map>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"

namespace sarde {

namespace {

constexpr std::size_t deepest_reference = 10;
constexpr std::size_t longest_value = 64U << 10U;
constexpr std::size_t most_references = 10'000;  ///< of one value: those to empty values make it no longer

class IniReader {
 public:
  explicit IniReader(std::string what) : what_(std::move(what)) {}

  std::vector<IniSection> read(std::string_view text) {
    if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
    for (const auto& line : split(text, '\n')) {
      ++line_;
      take(line);
    }
    for (auto& section : sections_) {
      for (auto& value : section.values) value.value = trimmed(value.value);
    }
    const auto raw = sections_;
    for (auto& section : sections_) {
      for (auto& value : section.values) {
        line_ = value.line;
        references_ = 0;
        value.value = interpolated(value.value, section.name, raw, 0);
      }
    }
    return std::move(sections_);
  }

 private:
  [[noreturn]] void fail(const std::string& why) const {
    throw Error(Blame::job, what_ + ", line " + std::to_string(line_) + ": " + why);
  }

  void take(const std::string& line) {
    const auto text = trimmed(line);
    if (text.starts_with('#') || text.starts_with(';')) return;
    const auto indent = std::min(line.find_first_not_of(" \t\r"), line.size());
    if (text.empty() || (value_is_open_ && indent > indent_)) {
      if (value_is_open_) current().values.back().value += '\n' + text;
      return;
    }
    value_is_open_ = false;
    indent_ = indent;
    if (text.front() == '[' && text.find(']') != std::string::npos) {
      begin_section(text.substr(1, text.rfind(']') - 1));
    } else {
      begin_value(text);
    }
  }

  void begin_section(const std::string& name) {
    const auto [found, is_new] = section_at_.emplace(name, sections_.size());
    current_ = found->second;
    if (is_new) {
      sections_.push_back({.name = name, .line = line_, .values = {}});
    } else if (name != "DEFAULT") {
      fail("section " + quote(name) + " is there twice");
    }
  }

  void begin_value(const std::string& text) {
    const auto delimiter = text.find_first_of("=:");
    if (delimiter == std::string::npos || delimiter == 0)
      fail(quote(text) + " is neither [section] nor key = value");
    if (sections_.empty()) fail("a value stands before the first [section]");
    auto& values = current().values;
    auto key = lowered(trimmed(text.substr(0, delimiter)));
    if (!value_at_.emplace(std::pair(current_, key), values.size()).second)
      fail("key " + quote(key) + " is there twice");
    values.push_back({.key = std::move(key), .value = text.substr(delimiter + 1), .line = line_});
    value_is_open_ = true;
  }

  [[nodiscard]] const std::string& referred(const std::string& key, const std::string& section,
                                            const std::vector<IniSection>& raw) const {
    for (const auto& name : {section, std::string("DEFAULT")}) {
      const auto found = section_at_.find(name);
      if (found == section_at_.end()) continue;
      const auto value = value_at_.find(std::pair(found->second, key));
      if (value != value_at_.end()) return raw.at(found->second).values.at(value->second).value;
    }
    fail("%(" + key + ")s refers to no key of this section or of [DEFAULT]");
  }

  [[nodiscard]] std::string interpolated(const std::string& value, const std::string& section,
                                         const std::vector<IniSection>& raw, std::size_t depth) {
    if (++references_ > most_references) fail("it has too many %(…)s");
    if (depth > deepest_reference) fail("its %(…)s refer to each other without an end");
    std::string result;
    for (std::size_t at = 0; at < value.size() && result.size() < longest_value;) {
      if (value[at] != '%') {
        result += value[at++];
        continue;
      }
      const auto end = value.find(")s", at);
      if (value.compare(at, 2, "%%") == 0) {
        result += '%';
        at += 2;
      } else if (value.compare(at, 2, "%(") == 0 && end != std::string::npos) {
        const auto key = lowered(value.substr(at + 2, end - at - 2));
        result += interpolated(referred(key, section, raw), section, raw, depth + 1);
        at = end + 2;
      } else {
        fail("a single % must be written %%");
      }
    }
    if (result.size() >= longest_value) fail("the value is too long");
    return result;
  }

  IniSection& current() { return sections_.at(current_); }

  std::string what_;
  unsigned line_ = 0;
  std::size_t current_ = 0;  ///< of sections_
  std::size_t indent_ = 0;   ///< of the last header or key: what stands further in continues its value
  bool value_is_open_ = false;
  std::size_t references_ = 0;  ///< followed for the value at line_
  std::vector<IniSection> sections_;
  std::map<std::string, std::size_t> section_at_;  ///< where in sections_, by name
  std::map<std::pair<std::size_t, std::string>, std::size_t>
      value_at_;  ///< where in a section's values, by key
};

}  // namespace

std::vector<IniSection> parse_ini(std::string_view text, const std::string& what) {
  return IniReader(what).read(text);
}

}  // namespace sarde
