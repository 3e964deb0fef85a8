#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace sarde {

using Variables = std::map<std::string, std::string>;

/// The process environment as main read it: the only way in which the rest of the program sees it. Of equal
/// names the last counts, as gitlab-runner means it (executors/custom/command/command.go appends, Go's exec
/// keeps the last).
class Environment {
 public:
  Environment() = default;

  explicit Environment(Variables values) : values_(std::move(values)) {}

  /// From `environ`'s form: a null-terminated array of NAME=value.
  static Environment from(const char* const* entries) {
    Variables values;
    for (; entries != nullptr && *entries != nullptr; ++entries) {
      const std::string entry = *entries;
      const auto equals = entry.find('=');
      if (equals != std::string::npos) values[entry.substr(0, equals)] = entry.substr(equals + 1);
    }
    return Environment(std::move(values));
  }

  /// The value, or nothing where the variable is unset.
  [[nodiscard]] std::optional<std::string> get(const std::string& name) const {
    const auto found = values_.find(name);
    if (found == values_.end()) return std::nullopt;
    return found->second;
  }

  /// The value, or nothing where the variable is unset or empty.
  [[nodiscard]] std::optional<std::string> non_empty(const std::string& name) const {
    auto value = get(name);
    if (value && value->empty()) return std::nullopt;
    return value;
  }

  [[nodiscard]] const Variables& all() const { return values_; }

  /// What a program that we start needs to find its way on this host, and no job's variables: those of the
  /// account, of proxies and certificates, of libvirt and of the registries' tools.
  [[nodiscard]] Environment for_helpers() const;

  /// As run_program() takes it.
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> list() const {
    return {values_.begin(), values_.end()};
  }

 private:
  Variables values_;
};

}  // namespace sarde
