#include "core/image/disk/layer_places.hpp"

#include <algorithm>

namespace sarde {

LayerPlaces::LayerPlaces(const DiskLayers& disk) : chunks_(disk.chunks), in_file_(disk.chunks.size()) {
  for (const auto& chunk : chunks_) {
    in_stream_.push_back(total_);
    total_ += chunk.size;
  }
}

std::optional<std::size_t> LayerPlaces::note(std::uint64_t position, std::uint64_t written) {
  const auto found = std::ranges::lower_bound(in_stream_, position);
  // A later layer begins one byte behind its member's beginning.
  const auto layer = static_cast<std::size_t>(found - in_stream_.begin());
  if (position != 0 && (layer == in_stream_.size() || in_stream_[layer] != position + 1)) return std::nullopt;
  in_file_[layer] = written;
  return layer;
}

std::optional<std::uint64_t> LayerPlaces::next_after(std::size_t layer) const {
  if (layer + 1 == in_stream_.size()) return std::nullopt;
  return in_stream_[layer + 1];
}

std::vector<LayerSpan> LayerPlaces::spans(std::size_t layers, std::uint64_t written) const {
  std::vector<LayerSpan> whole;
  for (std::size_t i = 0; i < layers; ++i) {
    const auto end = i + 1 < chunks_.size() ? in_file_[i + 1] : std::optional(written);
    if (in_file_[i] && end && *end <= written)
      whole.push_back({.layer = chunks_[i].digest, .at = *in_file_[i], .length = *end - *in_file_[i]});
  }
  return whole;
}

}  // namespace sarde
