#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace sarde {

/// UEFI firmware that a VM asks libvirt for.
struct FirmwareNeed {
  std::string architecture;
  std::string machine;  ///< q35, pc, virt; empty: any
  bool secure_boot = false;
  std::optional<bool> enrolled_keys = {};  ///< nothing: either
};

/// Where distributions describe their firmware, the administrator's first.
std::vector<std::filesystem::path> firmware_folders();

/// Size in bytes of the file with the variables of the firmware that libvirt takes for this need: of the
/// first that fits, by the names of the descriptions (QEMU, docs/interop/firmware.json). Nothing if none is
/// found, or what is there cannot be read.
std::optional<std::uint64_t> size_of_uefi_variables(const FirmwareNeed& need,
                                                    const std::vector<std::filesystem::path>& folders);

}  // namespace sarde
