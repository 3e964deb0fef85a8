#include "config/units.hpp"

#include <array>
#include <string>

#include "core/foundation/text.hpp"

namespace sarde {

namespace {

std::optional<std::uint64_t> unit_bytes(std::string unit) {
  if (unit.empty() || unit == "B") return 1;
  if (unit.front() == 'k') unit.front() = 'K';
  const auto power = std::string_view("KMGT").find(unit.front());
  if (power == std::string_view::npos) return std::nullopt;
  const auto rest = unit.substr(1);
  if (rest != "" && rest != "B" && rest != "iB") return std::nullopt;
  const std::uint64_t base = rest == "B" ? 1000 : 1024;
  std::uint64_t bytes = base;
  for (std::size_t i = 0; i < power; ++i) bytes *= base;
  return bytes;
}

}  // namespace

std::optional<std::uint64_t> parse_size(std::string_view text) {
  const auto digits = text.find_first_not_of("0123456789");
  const auto number = parse_number(text.substr(0, digits));
  const auto unit = unit_bytes(digits == std::string_view::npos ? "" : trimmed(text.substr(digits)));
  std::uint64_t bytes = 0;
  if (!number || !unit || __builtin_mul_overflow(*number, *unit, &bytes)) return std::nullopt;
  return bytes;
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
