#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/foundation/unique_fd.hpp"
#include "core/image/disk/layer_grid.hpp"

namespace sarde {

/// Begins the names of folders in vmdir with the disks of images whose layers come while VMs use them.
inline constexpr std::string_view partial_prefix = ".lazy-";

/// A layer: its disk's place in the manifest, and its own in the disk.
struct LayerPlace {
  std::size_t disk = 0;
  std::size_t layer = 0;

  auto operator<=>(const LayerPlace&) const = default;
};

/// The disks of an image that is not whole yet, in a folder of vmdir: sparse files of their final sizes, and
/// a list of the layers that are in them. What is in the list is right as long as the machine does not go
/// down. One process at a time brings layers: the one with the lock of the unpacked image.
class PartialImage {
 public:
  /// Where it is. The path is short, because that of a socket in it has to be.
  static std::filesystem::path folder_of(const std::filesystem::path& vmdir, const Digest& manifest);

  /// Whose disks are in a folder: digests of the image's manifest and config.
  struct Owner {
    std::string manifest;
    std::string config;
    /// The repository that the image is private to (UnpackedMarker::private_to); empty: to none.
    std::string private_to = {};
    bool is_lost = false;  ///< the machine has gone down since
  };

  /// Nothing if the folder holds something else.
  static std::optional<Owner> owner_of(const std::filesystem::path& folder);

  /// Whether VMs use this image while it comes, or did so a while ago.
  static bool is_there(const std::filesystem::path& vmdir, const Digest& manifest);

  /// The same for a user of an image of this repository, who gets nothing of what is private to another.
  static bool is_there_for(const std::string& repository, const std::filesystem::path& vmdir,
                           const Digest& manifest);

  /// Opens the folder, or makes it. Throws Error.
  static PartialImage open(const std::filesystem::path& vmdir, const Owner& owner,
                           std::vector<LayerGrid> disks);

  /// Opens a folder that has to be there. Throws Error.
  static PartialImage existing(const std::filesystem::path& vmdir, const Digest& manifest,
                               std::vector<LayerGrid> disks);

  /// Whether a folder is there, and no layer is missing in it.
  static bool has_all_layers(const std::filesystem::path& folder, const std::vector<LayerGrid>& disks);

  /// Whether the image whose disks were in this folder has its own folder now.
  static bool has_become_whole(const std::filesystem::path& folder);

  /// Removes the folder. The caller holds the lock of the unpacked image.
  static void remove(const std::filesystem::path& vmdir, const Digest& manifest);

  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }

  [[nodiscard]] const std::vector<LayerGrid>& disks() const { return disks_; }

  [[nodiscard]] std::filesystem::path file(std::size_t disk) const { return folder_ / disks_[disk].name; }

  /// The disk's file, open for reading and writing.
  [[nodiscard]] int fd(std::size_t disk) const { return fds_[disk].get(); }

  [[nodiscard]] bool has(LayerPlace place) const { return there_.contains(place); }

  /// All that are not there, in the manifest's order.
  [[nodiscard]] std::vector<LayerPlace> missing() const;

  /// The layers with these bytes of a disk.
  [[nodiscard]] std::vector<LayerPlace> layers_with(std::size_t disk, std::uint64_t at,
                                                    std::uint64_t length) const;

  /// Brings a layer, unless it is there. Blocks. Throws what unpack_layer() throws.
  void bring(LayerPlace place, BlobSource& blobs, unsigned threads, Cancellation& cancellation);

  /// Takes what it can of the missing layers from other files, as far as these are still what was unpacked
  /// there. Throws Error, Cancelled.
  void take(const KnownSpans& known, Cancellation& cancellation);

  /// Brings what QEMU reads when it opens the disk: the header, and qcow2's tables of the first level; where
  /// it reads more, everything.
  void bring_tables(std::size_t disk, BlobSource& blobs, unsigned threads, Cancellation& cancellation);

 private:
  PartialImage(std::filesystem::path folder, std::vector<LayerGrid> disks)
      : folder_(std::move(folder)), disks_(std::move(disks)) {}

  void open_files();
  void note(LayerPlace place);

  std::filesystem::path folder_;
  std::vector<LayerGrid> disks_;
  std::vector<UniqueFd> fds_;
  std::set<LayerPlace> there_;
};

/// The disks' grids; nothing unless each disk has one, under a name of its own.
std::optional<std::vector<LayerGrid>> layer_grids(const std::vector<DiskLayers>& disks);

}  // namespace sarde
