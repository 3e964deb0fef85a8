#pragma once

#include <string>
#include <vector>

namespace sarde {

/// Columns of text as wide as their longest entry, two spaces apart.
class TextTable {
 public:
  explicit TextTable(std::vector<std::string> heads) : rows_{std::move(heads)} {}

  /// Line breaks and other control characters are shown as escapes.
  void add(std::vector<std::string> row);

  /// The lines, without a line break behind the last. If they are wider than `columns` (0: any width), the
  /// widest columns are cut, with … where something is missing.
  [[nodiscard]] std::string text(std::size_t columns) const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace sarde
