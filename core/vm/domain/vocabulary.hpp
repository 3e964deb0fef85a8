#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sarde {

// The words and numbers that may go from a foreign domain into one that libvirt gets. libvirt does not check
// all of what it reads before it allocates by it: a controller's index of 2147483647 ends the daemon.

/// What a value must be: a list of words ("utc|localtime"), a range of numbers ("#0-255"), both
/// ("reset|#0-9"), one of the kinds below, or nothing at all, for an element without text ("").
using Check = std::string_view;

inline constexpr Check any_text = "*";    ///< for people: shown, never looked up
inline constexpr Check a_name = "@";      ///< up to 64 letters, digits and -_.:
inline constexpr Check time_zone = "tz";  ///< Europe/Berlin
inline constexpr Check hex16 = "hex16";   ///< a WWN: 16 hexadecimal digits

template <std::size_t Count>
bool is_one_of(std::string_view text, const std::array<std::string_view, Count>& words) {
  return std::ranges::find(words, text) != words.end();
}

/// Does the value pass?
bool passes(const std::string& value, Check check);

/// An architecture that QEMU emulates, by libvirt's name, and what its machines have.
struct Architecture {
  std::string_view name;
  bool has_maximum_cpu = false;  ///< a processor with all that QEMU can emulate
  bool has_pci = true;
  bool has_roms = true;  ///< of network cards

  [[nodiscard]] bool is_x86() const { return name == "x86_64" || name == "i686"; }
};

/// Nothing if QEMU has no such architecture.
const Architecture* find_architecture(const std::string& text);

/// The machine type that stands for the image's on any host: q35 for pc-q35-7.2. A VM that boots anew does
/// not care for the version, which another host's QEMU may not have. Other architectures' boards have no
/// versions. Nothing if there is no such family.
std::optional<std::string> machine_family(const std::string& text, const Architecture& architecture);

/// Is it a processor model that libvirt knows (cpu_map)?
bool is_known_cpu_model(const std::string& text);

/// What a disk or a CD is connected to, as an image's domain says it.
struct DiskPlace {
  std::string bus;
  std::string target;
  bool is_cdrom = false;
};

/// The machine that a disk is connected to.
struct MachineKind {
  const Architecture* architecture = nullptr;
  std::string family;  ///< q35, pc, …; empty: libvirt's choice
};

/// The bus of a disk: as said, or, as libvirt has it, by the beginning of its target's name. What the machine
/// or libvirt does not have becomes what is nearest: SATA on PCs, else virtio, and SCSI for CDs.
std::string disk_bus(const DiskPlace& place, const MachineKind& machine);

/// The name of the `index`th (from 0) disk on such a bus: vda, sdb, hdc. At most 26 on each.
std::string disk_target(const std::string& bus, std::size_t index);

/// KiB of a <memory unit=…> (formatdomain.html, "Memory Allocation"), in libvirt's units; nothing if it is no
/// amount between 1 MiB and 4 TiB.
std::optional<std::uint64_t> memory_in_kib(const std::string& amount, const std::string& unit);

}  // namespace sarde
