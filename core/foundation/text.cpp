#include "core/foundation/text.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <fmt/format.h>
#include <fnmatch.h>
#include <functional>

#include "core/foundation/shown_characters.hpp"

namespace sarde {

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  std::size_t start = 0;
  for (;;) {
    const auto end = text.find(separator, start);
    parts.emplace_back(text.substr(start, end - start));
    if (end == std::string_view::npos) return parts;
    start = end + 1;
  }
}

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
  return fmt::format("{}", fmt::join(parts, separator));
}

std::string trimmed(std::string_view text) {
  constexpr std::string_view white = " \t\r\n";
  const auto first = text.find_first_not_of(white);
  if (first == std::string_view::npos) return {};
  return std::string(text.substr(first, text.find_last_not_of(white) - first + 1));
}

bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

std::string lowered(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return result;
}

std::string quote(std::string_view text, std::size_t longest) {
  std::string result = "'";
  for (const char c : text.substr(0, longest)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 32 || byte > 126) {
      result += fmt::format("\\x{:02x}", byte);
    } else {
      result += c;
    }
  }
  return result + (text.size() > longest ? "…'" : "'");
}

namespace {

/// The end of the terminal escape sequence that starts at `at` (ECMA-48: CSI … final byte, or a two-byte
/// one).
std::size_t end_of_escape(std::string_view text, std::size_t at) {
  if (at + 1 >= text.size()) return text.size();
  if (text[at + 1] != '[') return at + 2;
  std::size_t end = at + 2;
  while (end < text.size() && (text[end] < '@' || text[end] > '~')) ++end;
  return std::min(end + 1, text.size());
}

std::string without_controls(std::string_view text) {
  std::string result;
  for (std::size_t at = 0; at < text.size();) {
    if (text[at] == '\x1b') {
      at = end_of_escape(text, at);
      continue;
    }
    const auto byte = static_cast<unsigned char>(text[at++]);
    if (byte == '\n' || byte == '\t' || (byte >= 32 && byte != 127)) result += static_cast<char>(byte);
  }
  return result;
}

}  // namespace

std::string printable_tail(std::string_view text, std::size_t lines) {
  auto all = split(trimmed(without_controls(text)), '\n');
  std::erase_if(all, [](const std::string& line) { return trimmed(line).empty(); });
  if (all.size() > lines) all.erase(all.begin(), all.end() - static_cast<std::ptrdiff_t>(lines));
  return join(all, "\n");
}

namespace {

struct CodePoint {
  char32_t value;
  std::size_t size;  ///< bytes; 0: there is no whole one
};

/// RFC 3629, section 3: no overlong forms, no surrogates, nothing above U+10FFFF.
CodePoint code_point_at(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) {
    return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0U;
  };
  const unsigned first = byte(0);
  if (first < 0x80) return {first, 1};
  const std::size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4) return {first, 0};
  char32_t value = first & (0x7fU >> size);
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0U) != 0x80) return {first, 0};
    value = value << 6U | (byte(i) & 0x3fU);
  }
  constexpr std::array<char32_t, 5> least{0, 0, 0x80, 0x800, 0x10000};
  const bool is_surrogate = value >= 0xd800 && value <= 0xdfff;
  if (value < least[size] || value > 0x10ffff || is_surrogate) return {first, 0};
  return {value, size};
}

/// Would it be acted upon, or be invisible, rather than be shown?
bool is_unprintable(char32_t c) {
  if (c < 0x7f) return c < ' ';
  const auto* const after =
      std::ranges::upper_bound(shown_characters, c, std::less<>(), &CodePointRange::first);
  return after == shown_characters.begin() || c > (after - 1)->last;
}

}  // namespace

bool is_utf8_text(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const auto [value, size] = code_point_at(text, at);
    if (size == 0 || value == 0) return false;
    at += size;
  }
  return true;
}

std::string without_section_markers(std::string text, std::string_view colon) {
  for (const std::string_view marker : {"section_start:", "section_end:"}) {
    for (auto at = text.find(marker); at != std::string::npos; at = text.find(marker, at + 1))
      text.replace(at + marker.size() - 1, 1, colon);
  }
  return text;
}

std::string printable_line(std::string_view text, std::size_t longest) {
  std::string line;
  for (std::size_t at = 0; at < text.size();) {
    if (line.size() > longest) return line + "…";
    const auto [value, size] = code_point_at(text, at);
    if (value == '\t' || value == '\n' || value == '\r') {
      if (!line.ends_with(' ')) line += ' ';
    } else if (size == 0) {
      line += fmt::format("\\x{:02x}", static_cast<unsigned>(value));
    } else if (is_unprintable(value)) {
      line += value < 0x80 ? fmt::format("\\x{:02x}", static_cast<unsigned>(value))
                           : fmt::format("\\u{{{:x}}}", static_cast<unsigned>(value));
    } else {
      line += text.substr(at, size);
    }
    at += std::max<std::size_t>(size, 1);
  }
  line = without_section_markers(std::move(line), "\\x3a");
  while (line.ends_with(' ')) line.pop_back();
  return line;
}

namespace {

std::optional<std::uint64_t> parse_digits(std::string_view text, int base) {
  std::uint64_t value = 0;
  const auto* end = text.data() + text.size();
  const auto [stop, status] = std::from_chars(text.data(), end, value, base);
  if (text.empty() || status != std::errc{} || stop != end) return std::nullopt;
  return value;
}

}  // namespace

std::optional<std::uint64_t> parse_number(std::string_view text) {
  return parse_digits(text, 10);
}

std::optional<std::uint64_t> parse_hex(std::string_view text) {
  return parse_digits(text, 16);
}

std::string to_hex(const unsigned char* bytes, std::size_t count) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string result;
  result.reserve(count * 2);
  for (std::size_t i = 0; i < count; ++i) {
    result += digits[bytes[i] >> 4U];
    result += digits[bytes[i] & 15U];
  }
  return result;
}

std::string shell_quoted(std::string_view text) {
  std::string result = "'";
  for (const char c : text) {
    if (c == '\'') {
      result += "'\\''";
    } else {
      result += c;
    }
  }
  return result + "'";
}

std::string duration_text(std::chrono::milliseconds duration) {
  const auto ms = duration.count();
  if (ms < 1000) return fmt::format("{} ms", ms);
  if (ms < 60000) return fmt::format("{:.1f} s", static_cast<double>(ms) / 1000);
  const auto minutes = ms / 60000;
  if (minutes < 60) return fmt::format("{} min {} s", minutes, ms / 1000 % 60);
  if (minutes < 48 * 60) return fmt::format("{} h {} min", minutes / 60, minutes % 60);
  return fmt::format("{} days {} h", minutes / 1440, minutes / 60 % 24);
}

std::string size_text(std::uint64_t bytes) {
  if (bytes < 1000) return fmt::format("{} bytes", bytes);
  if (bytes < 1000000) return fmt::format("{:.1f} kB", static_cast<double>(bytes) / 1e3);
  if (bytes < 1000000000) return fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6);
  return fmt::format("{:.1f} GB", static_cast<double>(bytes) / 1e9);
}

bool matches_glob(const std::string& pattern, const std::string& text) {
  return ::fnmatch(pattern.c_str(), text.c_str(), 0) == 0;
}

}  // namespace sarde
