#pragma once

#include <string>
#include <vector>

#include "config/option_value.hpp"

namespace sarde {

/// What was typed, understood but not yet acted on.
struct Invocation {
  std::string command;
  OptionValues options;                ///< by name
  std::vector<std::string> arguments;  ///< positional

  /// A positional argument; empty if it was not given.
  [[nodiscard]] std::string argument(std::size_t index) const {
    return index < arguments.size() ? arguments[index] : "";
  }
};

}  // namespace sarde
