#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/image/disk/disk_packing.hpp"

namespace sarde {

/// `.sarde-image.json` in the folder of an unpacked image: which image it is, and how its disks looked when
/// they were written. Its presence says that the folder is whole.
struct UnpackedMarker {
  struct Disk {
    std::string name;
    std::string digest = {};  ///< of the whole file, as the image's config states it; empty: not known
    std::vector<LayerSpan> spans = {};
    DiskPieces pieces = {};
  };

  std::string config_digest;
  std::string manifest_digest;  ///< empty in markers of before there was this, or where it is not known
  std::vector<Disk> disks;
  /// The boot of this machine (boot_id()) in which the disks were written, if they have not been synced since:
  /// after the next one they may be anything. Empty: they are on the platter.
  std::string boot = {};

  [[nodiscard]] std::vector<std::string> names() const;
};

/// By size and time of change, and by whether a power cut may have taken what was not on the platter.
enum class DisksState { untouched, changed };

/// Synced, unless the marker names a boot; then the folder has none yet.
void write_unpacked_marker(const std::filesystem::path& folder, const UnpackedMarker& marker);

/// Nothing where there is no marker (another program unpacked it). Looks at the disks' sizes and times only.
std::optional<std::pair<UnpackedMarker, DisksState>> read_unpacked_marker(
    const std::filesystem::path& folder);

/// If the folder's disks have not been synced in this boot of the machine, they are now, and the marker says
/// so. Blocks until they are on the platter. Call it under the folder's lock. Throws Error.
void sync_unpacked(const std::filesystem::path& folder);

/// The disks are not to be used any more: without a marker the folder is unpacked anew.
void forget_unpacked(const std::filesystem::path& folder);

/// Which disks look changed: of each a sample is read (disk_pieces.hpp).
std::vector<std::string> disks_changed_by_sample(const std::filesystem::path& folder,
                                                 const UnpackedMarker& marker, Cancellation& cancellation);

/// Reads all of the disks. Which are not what the image's config states.
std::vector<std::string> disks_of_other_content(const std::filesystem::path& folder,
                                                const UnpackedMarker& marker, Cancellation& cancellation);

}  // namespace sarde
