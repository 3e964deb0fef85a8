#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace sarde {

using Variables = std::map<std::string, std::string>;

/// The process environment as main read it. The rest of the program accesses the environment only through
/// this class. If a name occurs more than once, the last value is used, as gitlab-runner intends
/// (executors/custom/command/command.go appends, and Go's exec keeps the last).
class Environment {
 public:
  Environment() = default;

  explicit Environment(Variables values) : values_(std::move(values)) {}

  /// Reads the format of `environ`: a null-terminated array of NAME=value.
  static Environment from(const char* const* entries) {
    Variables values;
    for (; entries != nullptr && *entries != nullptr; ++entries) {
      const std::string entry = *entries;
      const auto equals = entry.find('=');
      if (equals != std::string::npos) values[entry.substr(0, equals)] = entry.substr(equals + 1);
    }
    return Environment(std::move(values));
  }

  /// The value, or nothing if the variable is unset.
  [[nodiscard]] std::optional<std::string> get(const std::string& name) const {
    const auto found = values_.find(name);
    if (found == values_.end()) return std::nullopt;
    return found->second;
  }

  /// The value, or nothing if the variable is unset or empty.
  [[nodiscard]] std::optional<std::string> non_empty(const std::string& name) const {
    auto value = get(name);
    if (value && value->empty()) return std::nullopt;
    return value;
  }

  [[nodiscard]] const Variables& all() const { return values_; }

  /// The variables that a program started by sarde needs on this host, without any job variables: those for
  /// the account, for proxies and certificates, for libvirt and for the registry tools.
  [[nodiscard]] Environment for_helpers() const;

  /// The variables in the form that run_program() takes.
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> list() const {
    return {values_.begin(), values_.end()};
  }

 private:
  Variables values_;
};

/// The program behind a name or a path; empty if there is none.
std::filesystem::path find_program(const std::string& name, const Environment& environment);

}  // namespace sarde
