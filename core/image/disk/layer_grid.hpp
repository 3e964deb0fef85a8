#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/image/disk/disk_packing.hpp"
#include "core/image/layout/blob_source.hpp"
#include "core/system/cancellation.hpp"

namespace sarde {

/// A disk file whose layers can be unpacked each by itself: layer i has the file's bytes from i × `span` on.
/// Only disks that this program has packed are known to be like that.
struct LayerGrid {
  std::string name;        ///< of the disk's file
  std::uint64_t size = 0;  ///< bytes of the file
  std::uint64_t span = 0;  ///< bytes of a layer's data; the last one may have fewer
  std::vector<Descriptor> layers;

  [[nodiscard]] std::uint64_t start_of(std::size_t layer) const { return layer * span; }

  [[nodiscard]] std::uint64_t length_of(std::size_t layer) const {
    return std::min(span, size - start_of(layer));
  }

  /// All layers, as a marker has them.
  [[nodiscard]] std::vector<LayerSpan> spans() const;
};

/// Nothing for a disk that was packed by another program, or with a limit for its layers' sizes. It goes by
/// what the manifest says; unpack_layer() finds out whether that is true.
std::optional<LayerGrid> layer_grid(const DiskLayers& disk);

/// A file that layers are unpacked into, in any order.
struct LayerTarget {
  int fd = -1;       ///< open for writing, and of the disk's size
  std::string path;  ///< for messages
};

/// Puts a layer's data there that another file has at the same place: by sharing extents, else as a copy.
/// False if the other file does not have it, or is not what was noted of it: then what is there is undefined.
/// Throws Error, Cancelled.
bool copy_stretch(const KnownSpan& from, const LayerTarget& target, Cancellation& cancellation);

/// Unpacks one layer to its place in the file. Until this returns, what is at that place is undefined; then
/// the blob had its digest, and its data is all there. Blocks while the blob comes. Throws Error, Cancelled.
void unpack_layer(BlobSource& blobs, const LayerGrid& disk, std::size_t layer, const LayerTarget& target,
                  unsigned threads, Cancellation& cancellation);

}  // namespace sarde
