#include "config/option_table.hpp"

#include <algorithm>
#include <cctype>

#include "core/foundation/did_you_mean.hpp"
#include "core/foundation/text.hpp"

namespace sarde {

const OptionRow* find_option(std::string_view name) {
  const auto* const found = std::ranges::find_if(option_table, [&](const OptionRow& row) {
    return row.name == name || (!row.alias.empty() && row.alias == name);
  });
  return found == option_table.end() ? nullptr : found;
}

std::string option_hint(std::string_view mistyped) {
  std::vector<std::string> names;
  for (const auto& row : option_table) names.emplace_back(row.name);
  return did_you_mean(mistyped, names);
}

std::string variable_name(std::string_view option) {
  std::string name = "SARDE_";
  for (const char c : option)
    name += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return name;
}

std::vector<std::string> words_of(std::string_view words) {
  return words.empty() ? std::vector<std::string>() : split(words, ' ');
}

bool is_option_of(const OptionRow& row, std::string_view command) {
  if (row.commands == "*") return true;
  const auto words = words_of(row.commands);
  const auto has = [&](std::string_view word) { return std::ranges::find(words, word) != words.end(); };
  return has(command) || ((command == "try" || command == "warm") && has("prepare"));
}

}  // namespace sarde
