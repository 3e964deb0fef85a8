#pragma once

#include <optional>
#include <string>

#include "core/image/disk/disk_packing.hpp"
#include "core/image/store/partial_image.hpp"
#include "core/image/store/store_locks.hpp"
#include "core/image/store/unpacked_image.hpp"
#include "core/system/temp_files.hpp"

namespace sarde {

/// Where the disks of an image go, and how.
struct UnpackPlace {
  std::string name;  ///< of a folder in vmdir
  DiskSharing sharing;
};

/// The images in `vmdir`, unpacked: one folder per image. Every call may be made by several processes at
/// once; what it leaves is whole or not there.
class UnpackedImages {
 public:
  UnpackedImages(const StoreSettings& settings, const StoreLocks& locks, Cancellation& cancellation)
      : settings_(settings), locks_(locks), cancellation_(cancellation) {}

  /// Unpacks the disks for a base VM to `vmdir`/`name`, unless they are there already. Every disk is checked
  /// against its diff_id, and the files refer to each other only. Throws Error also when the folder holds
  /// something else.
  UnpackedImage unpack(const StoredImage& image, const std::string& name, const DiskProgress& progress) const;

  /// The same for VMs that share the disks, jobs' and clones', to a folder that is named by the manifest's
  /// digest: that covers all that is in it. Its files are read-only. If they are no longer what was unpacked,
  /// which is said, they are unpacked again.
  UnpackedImage unpack_shared(const StoredImage& image, const DiskProgress& progress) const;

  /// Whether the disks are there, unpacked for VMs that share them.
  [[nodiscard]] bool has_shared(const StoredImage& image) const;

  /// Whether the disks in the folder of this name may be given to users of this image without asking a
  /// registry for them: they are not private to another repository. True where there is no such folder.
  [[nodiscard]] bool is_open_to(const std::string& name, const ImageReference& image) const;

  /// To the folder that the place names.
  [[nodiscard]] UnpackedImage unpack_to(const StoredImage& image, const UnpackPlace& place,
                                        const DiskProgress& progress) const;

  /// Where the data of these disks' layers is in images that are there already and that this image's users
  /// may read: who knows a layer's digest is not let in by that.
  [[nodiscard]] KnownSpans known_layers(const std::vector<DiskLayers>& disks,
                                        const ImageReference& image) const;

  /// Syncs the disks of all images that were unpacked without that (jobs do not wait for it). Leaves those
  /// alone that somebody is at work on. Throws Error, Cancelled.
  void sync_all() const;

  /// Whether what is unfinished may stay for the next try: a disk that has become full is not to stay so.
  [[nodiscard]] bool has_room() const;

  /// If there is room, keeps of disks that could not be unpacked to their ends what is whole, for the next
  /// try: `finished` as UnpackOptions::unfinished has it. The folder keeps its disks under another name,
  /// which known_layers() looks at, until the image is there or a day has passed.
  void keep_unfinished(TempFolder incoming, const std::string& name, const StoredImage& image,
                       const std::vector<UnfinishedDisk>& finished) const noexcept;

  /// All layers of a partial image are there: gives it the folder that unpack_shared() would give it, unless
  /// there is one. The caller holds the lock of that. Reads all of the disks. Throws Error, Cancelled.
  UnpackedImage finish(const StoredImage& image, const PartialImage& partial) const;

  /// Removes what keep_unfinished() has kept under this name.
  void drop_unfinished(const std::string& name) const;

  /// Throws Error, the job's fault, if the disks are larger than may be.
  void check_sizes(const std::vector<DiskLayers>& disks) const;

  [[nodiscard]] const std::filesystem::path& folder() const { return settings_.vmdir; }

 private:
  [[nodiscard]] UnpackedImage unpack_anew(const StoredImage& image, const UnpackPlace& place,
                                          const DiskProgress& progress) const;
  [[nodiscard]] std::optional<UnpackedImage> adopt(const StoredImage& image, const UnpackPlace& place) const;
  [[nodiscard]] UnpackedImage adopt_unmarked(const StoredImage& image,
                                             const std::filesystem::path& folder) const;

  const StoreSettings& settings_;
  const StoreLocks& locks_;
  Cancellation& cancellation_;
};

}  // namespace sarde
