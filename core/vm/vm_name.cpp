#include "core/vm/vm_name.hpp"

#include <algorithm>
#include <cstdint>

#include "core/foundation/text.hpp"

namespace sarde {

namespace {

constexpr std::string_view prefix = "sarde-";
constexpr std::size_t hash_digits = 8;

/// FNV-1a, 64 bits: spreads well; nothing secret or hostile hangs on it, for the name is looked up together
/// with the job's id.
std::uint64_t fnv(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

std::string hash_hex(std::string_view text, std::size_t digits) {
  const auto hash = fnv(text);
  std::string result;
  for (std::size_t i = 0; i < digits; ++i) result += "0123456789abcdef"[hash >> (60 - 4 * i) & 15U];
  return result;
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
