#include "executor/commands/text_table.hpp"

#include <algorithm>

#include "core/foundation/text.hpp"

namespace sarde {

namespace {

constexpr std::size_t gap = 2;

bool begins_character(char byte) {
  return (static_cast<unsigned char>(byte) & 0xC0U) != 0x80U;  // UTF-8
}

std::size_t columns_in(const std::string& text) {
  return static_cast<std::size_t>(std::ranges::count_if(text, begins_character));
}

/// The text in as many columns: cut, with … in its last column, or with blanks behind it.
std::string in_columns(std::string text, std::size_t columns) {
  const auto has = columns_in(text);
  if (has <= columns) return text + std::string(columns - has, ' ');
  for (auto left = has; left >= columns; --left) {
    while (!begins_character(text.back())) text.pop_back();
    text.pop_back();
  }
  return text + "…";
}

/// Takes from the widest column until all fit, or none has much left.
void fit(std::vector<std::size_t>& widths, std::size_t columns) {
  constexpr std::size_t least = 8;
  const auto total = [&] {
    std::size_t sum = 0;
    for (const auto width : widths) sum += width == 0 ? 0 : width + gap;
    return sum - std::min(sum, gap);
  };
  while (total() > columns) {
    auto& widest = *std::ranges::max_element(widths);
    if (widest <= least) return;
    --widest;
  }
}

}  // namespace

void TextTable::add(std::vector<std::string> row) {
  for (auto& cell : row) cell = printable_line(cell);
  rows_.push_back(std::move(row));
}

std::string TextTable::text(std::size_t columns) const {
  std::vector<std::size_t> widths(rows_.front().size(), 0);
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], columns_in(row[i]));
  }
  if (columns != 0) fit(widths, columns);
  std::vector<std::string> lines;
  for (const auto& row : rows_) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i)
      line += in_columns(row[i], widths[i]) + std::string(gap, ' ');
    line.erase(line.find_last_not_of(' ') + 1);
    lines.push_back(line);
  }
  return join(lines, "\n");
}

}  // namespace sarde
