#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace sarde {

/// A thin copy to make: a qcow2 file that reads from `base` what was not written to it.
struct DiskOverlay {
  std::filesystem::path base;
  std::string base_format = {};  ///< qcow2 or raw
  std::filesystem::path overlay;
  std::uint64_t least_size = 0;  ///< bytes that the guest sees at least
};

/// Makes it: an empty qcow2 file of version 3 (QEMU, docs/interop/qcow2.txt) of the base's virtual size or
/// `least_size`, with clusters of 64 KiB, as `qemu-img create -b` would, without the 20 ms of starting that.
/// Not synced. Throws Error, also if there is such a file.
void create_overlay(const DiskOverlay& overlay);

/// Makes an empty disk of this many bytes, in the same way.
void create_empty_disk(const std::filesystem::path& file, std::uint64_t size);

}  // namespace sarde
