#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/foundation/buffer.hpp"
#include "core/foundation/bytes.hpp"

namespace sarde {

// The compressed form of a disk file: one gzip stream (RFC 1952) of many members, each of which holds one MiB
// of the file and can be compressed and decompressed without the others. Every member's header has an FEXTRA
// subfield:
//
//   'S' 'D'  04 00  <size of the whole member in bytes, 32 bits, little-endian>
//
// so that a reader finds the next member without inflating this one; the first member's header also has
// FNAME, the file's base name. MTIME is 0, so the same data gives the same bytes. gzip, Python's gzip module
// and others read it as any other stream. Rejected: zstd or a seekable index, which sardinecake 0.4 could not
// read; BGZF's subfield, whose 16 bits limit a member to 64 KiB (worse ratio, more headers).

/// Uncompressed bytes in a member that we write, except a file's last.
inline constexpr std::size_t member_size = 1U << 20U;

/// `small` costs time: libdeflate's level 5, a little smaller than zlib's 6. `fast` costs space: ISA-L's
/// level 2, six times as fast.
enum class Compression { small, fast };

/// Makes members; one thread's.
class MemberCompressor {
 public:
  explicit MemberCompressor(Compression compression);
  MemberCompressor(const MemberCompressor&) = delete;
  MemberCompressor& operator=(const MemberCompressor&) = delete;
  ~MemberCompressor();

  /// One member, whole. `name` is for the first only, else empty. Throws Error.
  void compress(std::span<const unsigned char> data, std::string_view name, Buffer& member);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// What a member's header says.
struct MemberHeader {
  std::size_t header_size = 0;               ///< bytes up to the deflate data
  std::optional<std::uint32_t> member_size;  ///< of the whole member; none if another program wrote it
  std::optional<std::string> name;
};

/// Reads the header at the start of `bytes`. Nothing if there are too few bytes to hold it. Throws Error (the
/// job's fault) if it is no gzip header.
std::optional<MemberHeader> parse_member_header(std::span<const unsigned char> bytes);

/// How many bytes a whole member says to hold: the last four of it. At least 18 bytes long.
std::uint32_t member_data_size(std::span<const unsigned char> member);

/// Opens members; one thread's.
class MemberDecompressor {
 public:
  MemberDecompressor();
  MemberDecompressor(const MemberDecompressor&) = delete;
  MemberDecompressor& operator=(const MemberDecompressor&) = delete;
  ~MemberDecompressor();

  /// The data of one whole member, its CRC-32 and length checked. Throws Error (the job's fault).
  void decompress(std::span<const unsigned char> member, Buffer& data);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// A member of unknown size behind its header, inflated as it comes.
class MemberInflater {
 public:
  MemberInflater();
  MemberInflater(const MemberInflater&) = delete;
  MemberInflater& operator=(const MemberInflater&) = delete;
  ~MemberInflater();

  struct Step {
    std::size_t read = 0;
    std::size_t written = 0;
    bool ended = false;  ///< the member is whole; its CRC-32 and length were right
  };

  /// Inflates from `input` into `output`, as far as both go. Throws Error (the job's fault).
  Step inflate(std::span<const unsigned char> input, std::span<unsigned char> output);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sarde
