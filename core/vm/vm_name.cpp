#include "core/vm/vm_name.hpp"

#include <algorithm>

#include "core/foundation/digest.hpp"
#include "core/foundation/text.hpp"

namespace sarde {

namespace {

constexpr std::string_view prefix = "sarde-";
constexpr std::size_t hash_digits = 8;

std::string hash_hex(std::string_view text, std::size_t digits) {
  return Digest::of(text).hex().substr(0, digits);
}

}  // namespace

VmName VmName::of_job(std::string_view job_id, std::string_view distinction) {
  return VmName(std::string(prefix) + std::string(job_id) + "-" +
                hash_hex(std::string(job_id) + "\n" + std::string(distinction), hash_digits));
}

std::optional<VmName> VmName::parse(std::string_view text) {
  if (!text.starts_with(prefix)) return std::nullopt;
  const auto parts = split(text.substr(prefix.size()), '-');
  const bool fits = parts.size() == 2 && parse_number(parts[0]).has_value() &&
                    parts[1].size() == hash_digits &&
                    parts[1].find_first_not_of("0123456789abcdef") == std::string::npos;
  if (!fits) return std::nullopt;
  return VmName(std::string(text));
}

std::string VmName::mac_address() const {
  const auto hex = hash_hex("mac " + text_, 6);
  return "52:54:00:" + hex.substr(0, 2) + ":" + hex.substr(2, 2) + ":" + hex.substr(4, 2);
}

}  // namespace sarde
