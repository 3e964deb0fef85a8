#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/foundation/digest.hpp"
#include "core/foundation/unique_fd.hpp"
#include "core/image/store/stored_image.hpp"

namespace sarde {

/// Who may write to the files of an unpacked image: the VM that is defined on them, or nobody, because
/// several VMs read them.
enum class DiskSharing { one_vm, many };

/// Whether unpacking ends only when the disks are on the platter. What many read can be unpacked again after
/// a power cut (UnpackedMarker::boot).
constexpr bool is_synced_at_once(DiskSharing sharing) {
  return sharing == DiskSharing::one_vm;
}

/// The folder of an unpacked image, and its disk files in the manifest's order.
struct UnpackedImage {
  std::filesystem::path folder;
  std::vector<std::string> disks;
  bool was_there = false;
  std::uint64_t reused = 0;  ///< bytes taken from images that were there
  /// Where an NBD server gives the disks to VMs while they come (core/image/serving). Empty: they are whole.
  std::filesystem::path served_at = {};
  mutable std::shared_ptr<const UniqueFd> hold = {};  ///< as long as it is open, the server stays
};

/// An image in the cache, and its disks.
struct ObtainedImage {
  StoredImage image;
  UnpackedImage unpacked;
};

/// ", 1.2 GB of it taken from images that were there", or nothing.
std::string reuse_note(const UnpackedImage& image);

/// Begins the names of folders in vmdir with what is whole of disks that could not be unpacked to their ends.
inline constexpr std::string_view unfinished_prefix = ".unfinished-";

/// Every folder that an image may be unpacked to, unless somebody chose a name: by its config's digest, and
/// by its manifest's. (Earlier versions used the second of them for clones.)
std::vector<std::string> usual_folders(const Digest& config, const Digest& manifest);

}  // namespace sarde
