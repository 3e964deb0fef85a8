#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/foundation/buffer.hpp"
#include "core/image/disk/chunk_reader.hpp"
#include "core/image/disk/disk_packing.hpp"
#include "core/image/disk/disk_sink.hpp"
#include "core/image/disk/gzip_stream.hpp"
#include "core/image/disk/layer_places.hpp"
#include "core/image/layout/blob_source.hpp"
#include "core/system/cancellation.hpp"

namespace sarde {

/// Decompresses one disk, member by member. What it is made from must outlive it. Its functions throw Error,
/// Cancelled.
class Unpacker {
 public:
  Unpacker(BlobSource& blobs, const DiskLayers& disk, const UnpackOptions& options,
           Cancellation& cancellation)
      : reader_(blobs, disk),
        places_(disk),
        options_(options),
        cancellation_(cancellation),
        can_share_(options.known != nullptr) {}

  /// The name in the first member's header; empty if there is none. Before run().
  std::string name();

  /// Gives the sink the whole disk.
  void run(DiskSink& sink);

  /// When the data turned out not to be what it should be: throws Error if that is because a blob is not what
  /// its digest says, which shows at its end only.
  void check_blob() { reader_.check_open_chunk(); }

  /// After run(): where each layer's data is in the file, as far as layers begin and end with members.
  [[nodiscard]] std::vector<LayerSpan> spans() const { return places_.spans(places_.layers(), written_); }

  /// Before the end of run(): the same of the layers that have been read to their ends, as far as their data
  /// is among the first `written` bytes of the file.
  [[nodiscard]] std::vector<LayerSpan> whole_spans(std::uint64_t written) const {
    // (where the last one's data ends is not known before the end)
    return places_.spans(std::min(reader_.chunks_read(), places_.layers() - 1), written);
  }

 private:
  enum class Ahead { nothing, known_layer, sized_member, other_member };

  Ahead look_ahead();
  std::optional<MemberHeader> next_header();
  const KnownSpan* known_here();
  void share(DiskSink& sink);
  void open_members(DiskSink& sink);
  void inflate_members(DiskSink& sink);
  bool fill(MemberInflater& inflater, Buffer& data);
  void grow(std::uint64_t count);
  void sign_of_life();

  ChunkReader reader_;
  LayerPlaces places_;
  const UnpackOptions& options_;
  Cancellation& cancellation_;
  bool can_share_;
  std::optional<MemberHeader> header_;  ///< of the member ahead
  std::uint64_t written_ = 0;
};

}  // namespace sarde
