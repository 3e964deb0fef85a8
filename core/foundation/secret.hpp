#pragma once

#include <string>
#include <utility>

namespace sarde {

/// A password or token. It has no stream operator and no conversion, so it can reach a log or a command line
/// only where the code calls `reveal()`.
class Secret {
 public:
  Secret() = default;

  explicit Secret(std::string value) : value_(std::move(value)) {}

  [[nodiscard]] const std::string& reveal() const noexcept { return value_; }

  [[nodiscard]] bool empty() const noexcept { return value_.empty(); }

 private:
  std::string value_;
};

}  // namespace sarde
