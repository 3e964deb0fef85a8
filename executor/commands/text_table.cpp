#include "executor/commands/text_table.hpp"

#include <algorithm>

#include "core/foundation/text.hpp"

namespace sarde {

void TextTable::add(std::vector<std::string> row) {
  for (auto& cell : row) cell = printable_line(cell);
  rows_.push_back(std::move(row));
}

std::string TextTable::text() const {
  std::vector<std::size_t> widths(rows_.front().size(), 0);
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::vector<std::string> lines;
  for (const auto& row : rows_) {
    std::string line;
    for (std::size_t i = 0; i + 1 < row.size(); ++i)
      line += row[i] + std::string(widths[i] - row[i].size() + 2, ' ');
    line += row.back();
    line.erase(line.find_last_not_of(' ') + 1);
    lines.push_back(line);
  }
  return join(lines, "\n");
}

}  // namespace sarde
