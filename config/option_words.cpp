#include "config/option_words.hpp"

#include <algorithm>

#include "config/option_table.hpp"

namespace sarde {

std::string_view value_word(const OptionRow& row) {
  using enum ValueKind;
  switch (row.kind) {
    case flag:
      return "";
    case path:
      return "PATH";
    case number:
    case port:
    case count:
    case count_share:
    case factor:
      return "NUMBER";
    case seconds:
      return "TIME";
    case size:
    case limit:
    case memory:
    case memory_share:
      return "SIZE";
    case list:
      if (!row.choices.empty()) return "WORD";
      return row.scope == OptionScope::call ? "FILE" : "LIST";  // --disk is the one that is typed
    case pairs:
      return "NAME=VALUE";
    case text:
      break;
  }
  return row.choices.empty() ? "TEXT" : "WORD";
}

std::string shown_initial(const OptionRow& row) {
  if (row.initial == "<uri>") return "qemu:///system";
  if (row.initial == "<memory>" || row.initial == "<processors>") return "";
  if (row.initial.starts_with("<data>")) return "/var/lib/sardinecake" + std::string(row.initial.substr(6));
  return std::string(row.initial);
}

std::vector<std::string_view> option_groups() {
  std::vector<std::string_view> groups;
  for (const auto& row : option_table)
    if (std::ranges::find(groups, row.group) == groups.end()) groups.push_back(row.group);
  return groups;
}

}  // namespace sarde
