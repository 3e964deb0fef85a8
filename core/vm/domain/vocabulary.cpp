#include "core/vm/domain/vocabulary.hpp"

#include <algorithm>
#include <array>

#include "core/foundation/text.hpp"

namespace sarde {

namespace {

bool is_word_of(std::string_view value, std::string_view words) {
  for (std::size_t at = 0; at <= words.size();) {
    const auto end = std::min(words.find('|', at), words.size());
    if (words.substr(at, end - at) == value) return true;
    at = end + 1;
  }
  return false;
}

bool is_number_in(const std::string& value, std::string_view range) {
  const auto dash = range.find('-');
  const auto least = parse_number(range.substr(0, dash));
  const auto most = parse_number(range.substr(dash + 1));
  // libvirt writes addresses in hexadecimal.
  const auto number =
      value.starts_with("0x") ? parse_hex(std::string_view(value).substr(2)) : parse_number(value);
  return number && *number >= *least && *number <= *most;
}

bool is_name(std::string_view value) {
  constexpr std::size_t longest = 64;
  return !value.empty() && value.size() <= longest && std::ranges::all_of(value, [](unsigned char c) {
    return is_letter_or_digit(c) || c == '-' || c == '_' || c == '.' || c == ':';
  });
}

}  // namespace

bool passes(const std::string& value, Check check) {
  if (check == "@") return is_name(value);
  if (check.starts_with('#')) return is_number_in(value, check.substr(1));
  return is_word_of(value, check);
}

std::optional<std::string> known_architecture(const std::string& text) {
  // Those of Debian's qemu-system packages, in libvirt's words.
  constexpr std::array<std::string_view, 27> known{
      "aarch64", "alpha",      "armv6l",  "armv7l",  "cris",     "i686",    "loongarch64",
      "m68k",    "microblaze", "mips",    "mips64",  "mips64el", "mipsel",  "microblazeel",
      "ppc",     "ppc64",      "ppc64le", "riscv32", "riscv64",  "s390x",   "sh4",
      "sh4eb",   "sparc",      "sparc64", "x86_64",  "xtensa",   "xtensaeb"};
  if (!is_one_of(text, known)) return std::nullopt;
  return text;
}

std::optional<std::string> machine_family(const std::string& text) {
  const auto is_of = [&](std::string_view family) {
    return text == family || text.starts_with(std::string(family) + "-");
  };
  if (is_of("pc-q35") || text == "q35") return "q35";
  if (is_of("pc") || text.starts_with("rhel6")) return "pc";
  for (const auto* family : {"virt", "s390-ccw-virtio", "pseries"})
    if (is_of(family)) return family;
  return std::nullopt;
}

bool is_known_cpu_model(const std::string& text) {
  constexpr std::array<std::string_view, 78> known{"486",
                                                   "Broadwell",
                                                   "Broadwell-IBRS",
                                                   "Broadwell-noTSX",
                                                   "Broadwell-noTSX-IBRS",
                                                   "Cascadelake-Server",
                                                   "Cascadelake-Server-noTSX",
                                                   "Conroe",
                                                   "Cooperlake",
                                                   "Dhyana",
                                                   "EPYC",
                                                   "EPYC-Genoa",
                                                   "EPYC-IBPB",
                                                   "EPYC-Milan",
                                                   "EPYC-Rome",
                                                   "FT-2000plus",
                                                   "Falkor",
                                                   "Haswell",
                                                   "Haswell-IBRS",
                                                   "Haswell-noTSX",
                                                   "Haswell-noTSX-IBRS",
                                                   "Icelake-Client",
                                                   "Icelake-Client-noTSX",
                                                   "Icelake-Server",
                                                   "Icelake-Server-noTSX",
                                                   "IvyBridge",
                                                   "IvyBridge-IBRS",
                                                   "Kunpeng-920",
                                                   "Nehalem",
                                                   "Nehalem-IBRS",
                                                   "Neoverse-N1",
                                                   "Neoverse-N2",
                                                   "Neoverse-V1",
                                                   "Opteron_G1",
                                                   "Opteron_G2",
                                                   "Opteron_G3",
                                                   "Opteron_G4",
                                                   "Opteron_G5",
                                                   "POWER10",
                                                   "POWER6",
                                                   "POWER7",
                                                   "POWER8",
                                                   "POWER9",
                                                   "POWERPC_e5500",
                                                   "POWERPC_e6500",
                                                   "Penryn",
                                                   "SandyBridge",
                                                   "SandyBridge-IBRS",
                                                   "SapphireRapids",
                                                   "Skylake-Client",
                                                   "Skylake-Client-IBRS",
                                                   "Skylake-Client-noTSX-IBRS",
                                                   "Skylake-Server",
                                                   "Skylake-Server-IBRS",
                                                   "Skylake-Server-noTSX-IBRS",
                                                   "Snowridge",
                                                   "Tengyun-S2500",
                                                   "ThunderX299xx",
                                                   "Westmere",
                                                   "Westmere-IBRS",
                                                   "a64fx",
                                                   "athlon",
                                                   "core2duo",
                                                   "coreduo",
                                                   "cortex-a53",
                                                   "cortex-a57",
                                                   "cortex-a72",
                                                   "cpu64-rhel5",
                                                   "cpu64-rhel6",
                                                   "kvm32",
                                                   "kvm64",
                                                   "n270",
                                                   "pentium",
                                                   "pentium2",
                                                   "pentium3",
                                                   "phenom",
                                                   "qemu32",
                                                   "qemu64"};
  return is_one_of(text, known);
}

std::string disk_bus(const std::string& said, const std::string& target) {
  constexpr Check buses = "virtio|scsi|sata|ide|usb";
  if (passes(said, buses)) return said;
  if (!said.empty()) return "virtio";
  if (target.starts_with("hd")) return "ide";
  if (target.starts_with("sd")) return "scsi";
  return "virtio";
}

std::string disk_target(const std::string& bus, std::size_t index) {
  const std::string prefix = bus == "virtio" ? "vd" : bus == "ide" ? "hd" : "sd";
  return prefix + static_cast<char>('a' + index);
}

std::optional<std::uint64_t> memory_in_kib(const std::string& amount, const std::string& unit) {
  constexpr std::array<std::pair<std::string_view, double>, 14> units{{{"b", 1.0 / 1024},
                                                                       {"bytes", 1.0 / 1024},
                                                                       {"kb", 1000.0 / 1024},
                                                                       {"k", 1},
                                                                       {"kib", 1},
                                                                       {"mb", 1e6 / 1024},
                                                                       {"m", 1024},
                                                                       {"mib", 1024},
                                                                       {"gb", 1e9 / 1024},
                                                                       {"g", 1048576},
                                                                       {"gib", 1048576},
                                                                       {"tb", 1e12 / 1024},
                                                                       {"t", 1073741824},
                                                                       {"tib", 1073741824}}};
  const auto number = parse_number(trimmed(amount));
  const auto* const found =
      std::ranges::find(units, lowered(unit), &std::pair<std::string_view, double>::first);
  if (!number || found == units.end()) return std::nullopt;
  const auto kib = static_cast<double>(*number) * found->second;
  constexpr double least = 1024;
  constexpr double most = 4.0 * 1073741824;  // 4 TiB
  if (kib < least || kib > most) return std::nullopt;
  return static_cast<std::uint64_t>(kib);
}

}  // namespace sarde
