#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/foundation/bytes.hpp"
#include "core/foundation/digest.hpp"
#include "core/foundation/unique_fd.hpp"
#include "core/image/disk/disk_packing.hpp"
#include "core/image/layout/oci_layout.hpp"

namespace sarde {

/// The bytes of a disk's chunks, one after the other, each chunk checked against its digest when its end is
/// reached. What it is made from must outlive it. Its functions throw Error: the job's fault where the
/// manifest is wrong.
class ChunkReader {
 public:
  ChunkReader(const OciLayout& layout, const DiskLayers& disk, const UnpackOptions& options)
      : layout_(layout), chunks_(disk.chunks), options_(options) {}

  /// Makes at least `count` bytes ready, if that many are left; returns what is ready, until the next call.
  std::span<const unsigned char> peek(std::size_t count);

  /// Passes bytes that are ready.
  void skip(std::size_t count) { at_ += count; }

  /// Goes on at `position` of the stream without reading what is between: the end of the stream, or the last
  /// byte of a chunk, which is a member's first.
  void pass_to(std::uint64_t position);

  /// The same, to the byte before the end of a chunk.
  void pass_to_last_byte_before(std::uint64_t position);

  /// Bytes of the stream that have been passed.
  [[nodiscard]] std::uint64_t consumed() const { return read_ - (end_ - at_); }

 private:
  bool read_more();
  void make_room();
  void open_next();
  void finish_chunk();

  const OciLayout& layout_;
  const std::vector<Descriptor>& chunks_;
  const UnpackOptions& options_;
  std::size_t next_ = 0;
  UniqueFd file_;
  std::string path_;
  std::optional<Sha256> hash_;
  Bytes buffer_;
  std::size_t at_ = 0;   ///< of buffer_: what is ready begins
  std::size_t end_ = 0;  ///< and ends
  std::uint64_t read_ = 0;
  std::uint64_t read_of_chunk_ = 0;
};

}  // namespace sarde
