#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/foundation/bytes.hpp"
#include "core/image/layout/blob_source.hpp"
#include "core/image/layout/oci_manifest.hpp"

namespace sarde {

/// The bytes of a disk's chunks, one after the other. What it is made from must outlive it. Its functions
/// throw what the chunks' readers throw.
class ChunkReader {
 public:
  ChunkReader(BlobSource& blobs, const DiskLayers& disk) : blobs_(blobs), chunks_(disk.chunks) {}

  /// Makes at least `count` bytes ready, if that many are left; returns what is ready, until the next call.
  std::span<const unsigned char> peek(std::size_t count);

  /// Passes bytes that are ready.
  void skip(std::size_t count) { at_ += count; }

  /// Goes on at `position` of the stream without reading what is between: the end of the stream, or the last
  /// byte of a chunk, which is a member's first.
  void pass_to(std::uint64_t position);

  /// The same, to the byte before the end of a chunk.
  void pass_to_last_byte_before(std::uint64_t position);

  /// Reads the chunk that is being read to its end, for what its reader says then; unless that is far away.
  void check_open_chunk();

  /// Chunks that have been read to their ends, or passed.
  [[nodiscard]] std::size_t chunks_read() const { return next_; }

  /// Bytes of the stream that have been passed.
  [[nodiscard]] std::uint64_t consumed() const { return read_ - (end_ - at_); }

 private:
  bool read_more();
  void make_room();

  BlobSource& blobs_;
  const std::vector<Descriptor>& chunks_;
  std::size_t next_ = 0;
  std::unique_ptr<BlobReader> reader_;  ///< of the chunk that is being read
  Bytes buffer_;
  std::size_t at_ = 0;   ///< of buffer_: what is ready begins
  std::size_t end_ = 0;  ///< and ends
  std::uint64_t read_ = 0;
  std::uint64_t read_of_chunk_ = 0;
};

}  // namespace sarde
