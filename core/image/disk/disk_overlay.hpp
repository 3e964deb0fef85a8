#pragma once

#include <filesystem>
#include <string>

namespace sarde {

/// A thin copy to make: a qcow2 file that reads from `base` what was not written to it.
struct DiskOverlay {
  std::filesystem::path base;
  std::string base_format;  ///< qcow2 or raw
  std::filesystem::path overlay;
};

/// Makes it: an empty qcow2 file of version 3 (QEMU, docs/interop/qcow2.txt) of the base's virtual size, with
/// clusters of 64 KiB, as `qemu-img create -b` would, without the 20 ms of starting that. Not synced. Throws
/// Error, also if there is such a file.
void create_overlay(const DiskOverlay& overlay);

}  // namespace sarde
