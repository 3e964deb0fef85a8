#include "core/image/disk/disk_name.hpp"

#include <algorithm>
#include <string_view>

#include "core/foundation/text.hpp"

namespace sarde {

bool is_disk_name(const std::string& name) {
  constexpr std::string_view others = "._+-=@~ ()";
  const bool is_plain = std::ranges::all_of(
      name, [&](char c) { return is_letter_or_digit(c) || others.find(c) != std::string_view::npos; });
  return is_plain && is_bare_file_name(name);
}

bool is_bare_file_name(const std::string& name) {
  const bool odd = std::ranges::any_of(name, [](unsigned char c) { return c < 32 || c == 127 || c == '/'; });
  return !name.empty() && name.size() <= 200 && !odd && name.front() != '.';
}

}  // namespace sarde
