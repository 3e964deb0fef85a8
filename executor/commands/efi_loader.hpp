#pragma once

#include <filesystem>
#include <string>

#include "executor/commands/command_tools.hpp"

namespace sarde {

/// Does a disk have a loader that UEFI finds without an entry in its variables: a file in \EFI\BOOT of an EFI
/// system partition (UEFI specification, "Removable Media Boot Behavior")?
enum class RemovableLoader { present, absent, unknown };

/// Looks into the disk with qemu-img and mtools. `unknown` without mtools, or where the disk has no partition
/// table that can be read. Blocks until the partition, usually up to some hundred megabytes, has been read.
RemovableLoader look_for_removable_loader(const CommandTools& tools, const std::filesystem::path& disk,
                                          const std::string& format);

}  // namespace sarde
