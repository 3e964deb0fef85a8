#pragma once

#include <map>
#include <string>
#include <vector>

#include "config/option.hpp"

namespace sarde {

/// A value as text (a list: one text an item) and the place it came from, for messages and `sarde settings`.
struct OptionValue {
  std::vector<std::string> items;
  std::string origin;
};

using OptionValues = std::map<std::string, OptionValue>;

/// Checks a value against the row. Throws Error (the job's fault, because trying again would not help) naming
/// origin and option.
void check_value(const OptionRow& row, const OptionValue& value);

}  // namespace sarde
