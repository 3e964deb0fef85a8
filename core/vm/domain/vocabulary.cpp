#include "core/vm/domain/vocabulary.hpp"

#include <algorithm>
#include <array>
#include <cstdint>

#include "core/foundation/text.hpp"

namespace sarde {

namespace {

std::optional<std::int64_t> signed_number(std::string_view text) {
  const bool is_negative = text.starts_with('-');
  // libvirt writes addresses in hexadecimal.
  const auto number =
      text.starts_with("0x") ? parse_hex(text.substr(2)) : parse_number(is_negative ? text.substr(1) : text);
  constexpr std::uint64_t most = 1ULL << 62U;
  if (!number || *number > most || (is_negative && *number == 0)) return std::nullopt;
  return is_negative ? -static_cast<std::int64_t>(*number) : static_cast<std::int64_t>(*number);
}

bool is_number_in(std::string_view value, std::string_view range) {
  const auto dash = range.find('-', 1);  // the least may be negative
  const auto number = signed_number(value);
  return number && *number >= signed_number(range.substr(0, dash)) &&
         *number <= signed_number(range.substr(dash + 1));
}

bool is_word_of(std::string_view value, std::string_view words) {
  for (std::size_t at = 0; at <= words.size();) {
    const auto end = std::min(words.find('|', at), words.size());
    const auto word = words.substr(at, end - at);
    if (word == value || (word.starts_with('#') && is_number_in(value, word.substr(1)))) return true;
    at = end + 1;
  }
  return false;
}

constexpr std::size_t longest_name = 64;

bool is_name(std::string_view value) {
  return !value.empty() && value.size() <= longest_name && std::ranges::all_of(value, [](unsigned char c) {
    return is_letter_or_digit(c) || c == '-' || c == '_' || c == '.' || c == ':';
  });
}

/// libvirt hands it to QEMU as TZ, which may name a file, too.
bool is_time_zone(std::string_view value) {
  const auto parts = split(value, '/');
  return value.size() <= longest_name && std::ranges::all_of(parts, [](const std::string& part) {
           return !part.empty() && is_letter_or_digit(static_cast<unsigned char>(part.front())) &&
                  std::ranges::all_of(part, [](unsigned char c) {
                    return is_letter_or_digit(c) || c == '-' || c == '_' || c == '+';
                  });
         });
}

bool is_wwn(std::string_view value) {
  constexpr std::size_t digits = 16;
  return value.size() == digits && parse_hex(value).has_value();
}

}  // namespace

bool passes(const std::string& value, Check check) {
  if (check == any_text) return true;
  if (check == a_name) return is_name(value);
  if (check == time_zone) return is_time_zone(value);
  if (check == hex16) return is_wwn(value);
  if (check.starts_with('#')) return is_number_in(value, check.substr(1));
  return is_word_of(value, check);
}

const Architecture* find_architecture(const std::string& text) {
  // Those of Debian's qemu-system packages, in libvirt's words; QEMU 7.2 for what they have.
  static constexpr Architecture board{.name = {}, .has_pci = false, .has_roms = false};
  const auto without_pci = [](std::string_view name) {
    auto one = board;
    one.name = name;
    return one;
  };
  static const std::array<Architecture, 27> known{{
      {.name = "x86_64", .has_maximum_cpu = true},
      {.name = "i686", .has_maximum_cpu = true},
      {.name = "aarch64", .has_maximum_cpu = true},
      {.name = "armv6l", .has_maximum_cpu = true},
      {.name = "armv7l", .has_maximum_cpu = true},
      {.name = "s390x", .has_maximum_cpu = true, .has_roms = false},
      {.name = "alpha"},
      {.name = "loongarch64"},
      {.name = "mips"},
      {.name = "mips64"},
      {.name = "mips64el"},
      {.name = "mipsel"},
      {.name = "ppc"},
      {.name = "ppc64"},
      {.name = "ppc64le"},
      {.name = "riscv32"},
      {.name = "riscv64"},
      {.name = "sh4"},
      {.name = "sh4eb"},
      {.name = "sparc64"},
      without_pci("cris"),
      without_pci("m68k"),
      without_pci("microblaze"),
      without_pci("microblazeel"),
      without_pci("sparc"),
      without_pci("xtensa"),
      without_pci("xtensaeb"),
  }};
  const auto* const found = std::ranges::find(known, text, &Architecture::name);
  return found == known.end() ? nullptr : found;
}

std::optional<std::string> machine_family(const std::string& text, const Architecture& architecture) {
  const auto is_of = [&](std::string_view family) {
    return text == family || text.starts_with(std::string(family) + "-");
  };
  if (!architecture.is_x86()) {
    for (const auto* family : {"virt", "s390-ccw-virtio", "pseries"})
      if (is_of(family)) return family;
    if (passes(text, a_name) && text != "none") return text;
    return std::nullopt;
  }
  if (is_of("pc-q35") || text == "q35") return "q35";
  if (is_of("pc") || text.starts_with("rhel6")) return "pc";
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

namespace {

/// As libvirt has it.
std::string bus_of_target(const std::string& target) {
  if (target.starts_with("hd")) return "ide";
  if (target.starts_with("sd")) return "scsi";
  return "virtio";
}

}  // namespace

std::string disk_bus(const DiskPlace& place, const MachineKind& machine) {
  const bool is_pc = machine.architecture != nullptr && machine.architecture->is_x86();
  const std::string otherwise = is_pc ? "sata" : place.is_cdrom ? "scsi" : "virtio";
  const auto bus = place.bus.empty() ? bus_of_target(place.target) : place.bus;
  if (bus == "ide" && machine.family == "q35") return "sata";
  if (bus == "virtio" && place.is_cdrom) return otherwise;
  return passes(bus, "virtio|scsi|sata|ide|usb") ? bus : otherwise;
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
