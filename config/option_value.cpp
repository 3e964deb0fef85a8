#include "config/option_value.hpp"

#include <algorithm>

#include "config/option_table.hpp"
#include "config/units.hpp"
#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"

namespace sarde {

namespace {

/// What is wrong with a time; empty if nothing is.
std::string time_complaint(const std::string& value) {
  constexpr std::uint64_t century = 3'153'600'000;
  const auto time = parse_seconds(value).value_or(0);
  if (time > century) return "is above a hundred years";
  return time > 0 ? "" : "is not a time such as 90, 45m, 12h or 30d";
}

/// The same for a number of bytes.
std::string size_complaint(ValueKind kind, const std::string& value) {
  constexpr std::uint64_t mebibyte = 1U << 20U;
  const auto bytes = parse_size(value);
  if (!bytes) return "is not a size such as 256MiB";
  if (kind != ValueKind::memory || *bytes == 0 || *bytes >= mebibyte) return "";
  return "is " + size_text(*bytes) + ", less than a MiB; write a unit, as in " + quote(value + "MiB");
}

/// The same for a number without a unit.
std::string number_complaint(ValueKind kind, const std::string& value) {
  const std::uint64_t most = kind == ValueKind::port ? 65535 : kind == ValueKind::count ? 512 : 9;
  const auto number = parse_number(value);
  if (!number) return "is not a whole number";
  return *number > most ? "is above " + std::to_string(most) : "";
}

std::string complaint(const OptionRow& row, const std::string& value) {
  using enum ValueKind;
  switch (row.kind) {
    case flag:
      return parse_flag(value) ? "" : "is not true or false (or yes, no, on, off, 1, 0)";
    case path:
      return value.empty() ? "is empty" : "";
    case seconds:
      return time_complaint(value);
    case size:
    case limit:
    case memory:
      return size_complaint(row.kind, value);
    case memory_share:
      return value == "auto" ? "" : size_complaint(memory, value);
    case count_share:
      return value == "auto" ? "" : number_complaint(count, value);
    case factor:
      return parse_factor(value) ? "" : "is not a number from 1 to 100 such as 1.5";
    case number:
    case port:
    case count:
      return number_complaint(row.kind, value);
    case pairs: {
      const auto equals = value.find('=');
      const bool is_pair = equals != std::string::npos && equals != 0 && equals + 1 < value.size();
      return is_pair ? "" : "is not NAME=VALUE";
    }
    default:
      break;
  }
  const auto choices = words_of(row.choices);
  if (choices.empty() || std::ranges::find(choices, value) != choices.end()) return "";
  return "is not one of " + join(choices, ", ");
}

}  // namespace

void check_value(const OptionRow& row, const OptionValue& value) {
  for (const auto& item : value.items) {
    if (!is_utf8_text(item))
      throw Error(Blame::job, value.origin + ": " + std::string(row.name) + ": the value is not valid UTF-8");
    const auto wrong = complaint(row, item);
    const auto shown = row.name == "password" ? std::string("the value") : quote(item);
    if (!wrong.empty())
      throw Error(Blame::job, value.origin + ": " + std::string(row.name) + ": " + shown + " " + wrong);
  }
}

}  // namespace sarde
