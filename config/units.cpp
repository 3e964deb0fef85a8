#include "config/units.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include "core/foundation/text.hpp"

namespace sarde {

namespace {

/// As people write it, and sardinecake reads it: of any case, a letter or a word.
std::optional<double> unit_bytes(std::string_view text) {
  auto unit = lowered(text);
  constexpr std::string_view plural = "bytes";
  if (unit.ends_with(plural)) unit.pop_back();
  if (unit.empty() || unit == "b" || unit == "byte") return 1;
  constexpr std::string_view letters = "kmgt";
  constexpr std::array<std::string_view, 4> decimal{"kilo", "mega", "giga", "tera"};
  constexpr std::array<std::string_view, 4> binary{"kibi", "mebi", "gibi", "tebi"};
  double bytes_1000 = 1;
  double bytes_1024 = 1;
  for (std::size_t i = 0; i < letters.size(); ++i) {
    bytes_1000 *= 1000;
    bytes_1024 *= 1024;
    const std::string letter(1, letters[i]);
    if (unit == letter || unit == letter + "ib" || unit == std::string(binary[i]) + "byte") return bytes_1024;
    if (unit == letter + "b" || unit == std::string(decimal[i]) + "byte") return bytes_1000;
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::uint64_t> parse_size(std::string_view text) {
  const auto digits = std::min(text.find_first_not_of("0123456789."), text.size());
  const auto parts = split(text.substr(0, digits), '.');
  const auto whole = parse_number(parts[0]);
  const auto unit = unit_bytes(trimmed(text.substr(digits)));
  if (!whole || !unit || parts.size() > 2) return std::nullopt;
  double fraction = 0;
  if (parts.size() == 2) {
    const auto number = parse_number(parts[1]);
    if (!number) return std::nullopt;
    fraction = static_cast<double>(*number) / std::pow(10, static_cast<double>(parts[1].size()));
  }
  std::uint64_t bytes = 0;
  if (__builtin_mul_overflow(*whole, static_cast<std::uint64_t>(*unit), &bytes) ||
      __builtin_add_overflow(bytes, static_cast<std::uint64_t>(fraction * *unit), &bytes))
    return std::nullopt;
  return bytes;
}

std::optional<double> parse_factor(std::string_view text) {
  constexpr double most = 100;
  const auto parts = split(text, '.');
  if (parts.size() > 2 || text.size() > 8) return std::nullopt;
  double factor = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const auto number = parse_number(parts[i]);
    if (!number) return std::nullopt;
    factor +=
        static_cast<double>(*number) / (i == 0 ? 1 : std::pow(10, static_cast<double>(parts[i].size())));
  }
  return factor >= 1 && factor <= most ? std::optional(factor) : std::nullopt;
}

std::optional<bool> parse_flag(std::string_view text) {
  const auto word = lowered(text);
  for (const auto* yes : {"true", "yes", "on", "1"})
    if (word == yes) return true;
  for (const auto* no : {"false", "no", "off", "0"})
    if (word == no) return false;
  return std::nullopt;
}

std::optional<std::uint64_t> parse_seconds(std::string_view text) {
  constexpr std::string_view units = "smhdw";
  constexpr std::array<std::uint64_t, 5> seconds{1, 60, 3600, 86400, 604800};
  const auto digits = text.find_first_not_of("0123456789");
  const auto number = parse_number(text.substr(0, digits));
  const auto unit = digits == std::string_view::npos ? "s" : trimmed(text.substr(digits));
  std::uint64_t result = 0;
  if (!number || unit.size() != 1 || units.find(unit.front()) == units.npos) return std::nullopt;
  if (__builtin_mul_overflow(*number, seconds[units.find(unit.front())], &result)) return std::nullopt;
  return result;
}

}  // namespace sarde
