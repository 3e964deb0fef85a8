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

/// What a value must be: a list of words ("utc|localtime"), a range of numbers ("#0-255"), a name of up to 64
/// letters, digits and -_.: ("@"), or nothing at all, for an element without text ("").
using Check = std::string_view;

template <std::size_t Count>
bool is_one_of(std::string_view text, const std::array<std::string_view, Count>& words) {
  return std::ranges::find(words, text) != words.end();
}

/// Does the value pass?
bool passes(const std::string& value, Check check);

/// libvirt's name of an architecture that QEMU has; nothing if it is none.
std::optional<std::string> known_architecture(const std::string& text);

/// The machine type that stands for the image's on any host: q35 for pc-q35-7.2. A VM that boots anew does
/// not care for the version, which another host's QEMU may not have. Nothing if there is no such family.
std::optional<std::string> machine_family(const std::string& text);

/// Is it a processor model that libvirt knows (cpu_map)?
bool is_known_cpu_model(const std::string& text);

/// The bus of a disk: as said, or, as libvirt has it, by the beginning of its target's name; virtio where
/// neither tells.
std::string disk_bus(const std::string& said, const std::string& target);

/// The name of the `index`th (from 0) disk on such a bus: vda, sdb, hdc. At most 26 on each.
std::string disk_target(const std::string& bus, std::size_t index);

/// KiB of a <memory unit=…> (formatdomain.html, "Memory Allocation"), in libvirt's units; nothing if it is no
/// amount between 1 MiB and 4 TiB.
std::optional<std::uint64_t> memory_in_kib(const std::string& amount, const std::string& unit);

}  // namespace sarde
