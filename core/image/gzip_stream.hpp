#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

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

using Bytes = std::vector<unsigned char>;

/// Uncompressed bytes in a member that we write, except a file's last.
inline constexpr std::size_t member_size = 1U << 20U;

/// `small` costs time (libdeflate's level 6), `fast` costs space (its level 1).
enum class Compression { small, fast };

/// One member, whole. `name` is for the first only, else empty. Throws Error.
Bytes compress_member(std::span<const unsigned char> data, Compression compression, std::string_view name);

/// What a member's header says.
struct MemberHeader {
  std::size_t header_size = 0;               ///< bytes up to the deflate data
  std::optional<std::uint32_t> member_size;  ///< of the whole member; none if another program wrote it
  std::optional<std::string> name;
};

/// Reads the header at the start of `bytes`. Nothing if there are too few bytes to hold it. Throws Error (the
/// job's fault) if it is no gzip header.
std::optional<MemberHeader> parse_member_header(std::span<const unsigned char> bytes);

/// The data of one whole member, its CRC-32 and length checked. Throws Error (the job's fault).
Bytes decompress_member(std::span<const unsigned char> member);

}  // namespace sarde
