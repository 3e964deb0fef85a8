#pragma once

#include <string>
#include <vector>

#include "config/option_value.hpp"

namespace sarde {

/// A parsed command line.
struct Invocation {
  std::string command;
  OptionValues options;                ///< by name
  std::vector<std::string> arguments;  ///< positional
  bool is_sarde = false;               ///< the program was called by the name `sarde`

  /// A positional argument; empty if it was not given.
  [[nodiscard]] std::string argument(std::size_t index) const {
    return index < arguments.size() ? arguments[index] : "";
  }
};

}  // namespace sarde
