#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/image/disk/disk_packing.hpp"
#include "core/image/layout/oci_layout.hpp"

namespace sarde {

/// Where a disk's layers begin, in the stream and in the unpacked file. The disk must outlive it.
class LayerPlaces {
 public:
  explicit LayerPlaces(const DiskLayers& disk);

  /// Bytes of the stream.
  [[nodiscard]] std::uint64_t total() const { return total_; }

  /// The layer that begins with the member at this position of the stream, if one does. From then on its data
  /// begins at `written` bytes of the file.
  std::optional<std::size_t> note(std::uint64_t position, std::uint64_t written);

  [[nodiscard]] const Digest& digest(std::size_t layer) const { return chunks_[layer].digest; }

  /// Where the layer after this one begins in the stream; nothing behind the last.
  [[nodiscard]] std::optional<std::uint64_t> next_after(std::size_t layer) const;

  /// Where the data of the first `layers` layers is in the file, as far as layers begin and end with members
  /// and their data is among the file's first `written` bytes. The last layer's ends there.
  [[nodiscard]] std::vector<LayerSpan> spans(std::size_t layers, std::uint64_t written) const;

  [[nodiscard]] std::size_t layers() const { return chunks_.size(); }

 private:
  const std::vector<Descriptor>& chunks_;
  std::vector<std::uint64_t> in_stream_;               ///< in the stream
  std::vector<std::optional<std::uint64_t>> in_file_;  ///< where they begin in the file
  std::uint64_t total_ = 0;
};

}  // namespace sarde
