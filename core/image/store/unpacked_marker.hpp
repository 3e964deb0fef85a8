#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/image/disk/disk_packing.hpp"
#include "core/system/file_lock.hpp"

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
  /// The repository that the image is private to: it has been fetched with a job's credentials only, and its
  /// layers are given to images of the same repository only, which a job has to be let into. Empty: to none.
  /// Nothing: not known (markers of version 0.1.0).
  std::optional<std::string> private_to = {};
  /// The boot of this machine (boot_id()) in which the disks were written, if they have not been synced
  /// since: after the next one they may be anything. Empty: they are on the platter.
  std::string boot = {};

  [[nodiscard]] std::vector<std::string> names() const;

  /// Whether the disks were not on the platter when the machine went down, or have been found damaged.
  [[nodiscard]] bool is_lost() const;
};

/// By size and time of change, and by whether a power cut may have taken what was not on the platter.
enum class DisksState { untouched, changed };

/// Synced, unless the marker names a boot; then the folder has none yet.
void write_unpacked_marker(const std::filesystem::path& folder, const UnpackedMarker& marker);

/// Nothing where there is no marker (another program unpacked it). Looks at the disks' sizes and times only.
std::optional<std::pair<UnpackedMarker, DisksState>> read_unpacked_marker(
    const std::filesystem::path& folder);

/// Whether there is something for sync_unpacked() to do.
bool is_unsynced(const std::filesystem::path& folder);

/// If the folder's disks have not been synced in this boot of the machine, they are now, and the marker says
/// so. Blocks until they are on the platter; takes the folder's lock only then, through `lock`, and leaves
/// the marker alone if there is none to be had. Throws Error.
void sync_unpacked(const std::filesystem::path& folder, const std::function<std::optional<FileLock>()>& lock);

/// The disks have been found damaged: whoever wants them next unpacks them again.
void mark_damaged(const std::filesystem::path& folder);

/// Which disks look changed: of each a sample is read (disk_pieces.hpp).
std::vector<std::string> disks_changed_by_sample(const std::filesystem::path& folder,
                                                 const UnpackedMarker& marker, Cancellation& cancellation);

/// What reading all of the disks has shown, by their names.
struct DisksRead {
  std::vector<std::string> changed;    ///< no longer what was unpacked
  std::vector<std::string> misstated;  ///< what was unpacked, but the image's config states another digest

  [[nodiscard]] bool is_well() const { return changed.empty() && misstated.empty(); }
};

/// Reads all of the disks. Blocks while it does. Throws Error, Cancelled.
DisksRead read_disks(const std::filesystem::path& folder, const UnpackedMarker& marker,
                     Cancellation& cancellation);

}  // namespace sarde
