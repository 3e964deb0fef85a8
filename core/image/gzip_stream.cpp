#include "core/image/gzip_stream.hpp"

#include <algorithm>
#include <array>
#include <libdeflate.h>

#include "core/foundation/c_handle.hpp"
#include "core/foundation/error.hpp"

namespace sarde {

namespace {

// RFC 1952, section 2.3.1
constexpr unsigned char magic_1 = 0x1f;
constexpr unsigned char magic_2 = 0x8b;
constexpr unsigned char method_deflate = 8;
constexpr unsigned flag_header_crc = 2;
constexpr unsigned flag_extra = 4;
constexpr unsigned flag_name = 8;
constexpr unsigned flag_comment = 16;
constexpr unsigned char unknown_system = 255;
constexpr std::size_t fixed_header = 10;
constexpr std::size_t trailer = 8;

/// No member of ours is larger when inflated; of others' we only trust those that stream.
constexpr std::size_t largest_member_data = 16U << 20U;

using Compressor = CHandle<libdeflate_compressor, libdeflate_free_compressor>;
using Decompressor = CHandle<libdeflate_decompressor, libdeflate_free_decompressor>;

void put_32(unsigned char* at, std::uint32_t value) {
  for (unsigned i = 0; i < 4; ++i) at[i] = static_cast<unsigned char>(value >> (8 * i));
}

std::uint32_t get_32(const unsigned char* at) {
  return std::uint32_t{at[0]} | std::uint32_t{at[1]} << 8U | std::uint32_t{at[2]} << 16U |
         std::uint32_t{at[3]} << 24U;
}

Bytes header_of(std::string_view name) {
  constexpr std::array<unsigned char, 16> start{
      magic_1, magic_2, method_deflate, flag_extra, 0, 0, 0, 0, 0, unknown_system, 8, 0, 'S', 'D', 4, 0};
  Bytes header(start.size() + 4 + (name.empty() ? 0 : name.size() + 1));
  std::ranges::copy(start, header.begin());
  if (!name.empty()) {
    header[3] = flag_extra | flag_name;
    std::ranges::copy(name, header.begin() + start.size() + 4);
  }
  return header;
}

constexpr std::size_t size_field_at = 16;

std::optional<std::uint32_t> size_in_extra(std::span<const unsigned char> extra) {
  while (extra.size() >= 4) {
    const std::size_t length = extra[2] | unsigned{extra[3]} << 8U;
    if (extra.size() < 4 + length) break;
    if (extra[0] == 'S' && extra[1] == 'D' && length == 4) return get_32(extra.data() + 4);
    extra = extra.subspan(4 + length);
  }
  return std::nullopt;
}

}  // namespace

Bytes compress_member(std::span<const unsigned char> data, Compression compression, std::string_view name) {
  const Compressor compressor(libdeflate_alloc_compressor(compression == Compression::small ? 6 : 1));
  if (!compressor) throw Error("compress: out of memory");
  auto member = header_of(name);
  const auto header_size = member.size();
  const auto bound = libdeflate_deflate_compress_bound(compressor.get(), data.size());
  member.resize(header_size + bound + trailer);
  const auto size = libdeflate_deflate_compress(compressor.get(), data.data(), data.size(),
                                                member.data() + header_size, bound);
  if (size == 0) throw Error("compress: libdeflate gave no output");
  member.resize(header_size + size + trailer);
  put_32(member.data() + size_field_at, static_cast<std::uint32_t>(member.size()));
  put_32(member.data() + header_size + size, libdeflate_crc32(0, data.data(), data.size()));
  put_32(member.data() + header_size + size + 4, static_cast<std::uint32_t>(data.size()));
  return member;
}

std::optional<MemberHeader> parse_member_header(std::span<const unsigned char> bytes) {
  if (bytes.size() < fixed_header) return std::nullopt;
  if (bytes[0] != magic_1 || bytes[1] != magic_2 || bytes[2] != method_deflate) {
    throw Error(Blame::job, "the disk data is not gzip where a gzip member should begin");
  }
  const unsigned flags = bytes[3];
  MemberHeader header{.header_size = fixed_header, .member_size = {}, .name = {}};
  if ((flags & flag_extra) != 0) {
    if (bytes.size() < header.header_size + 2) return std::nullopt;
    const std::size_t length = bytes[header.header_size] | unsigned{bytes[header.header_size + 1]} << 8U;
    header.header_size += 2;
    if (bytes.size() < header.header_size + length) return std::nullopt;
    header.member_size = size_in_extra(bytes.subspan(header.header_size, length));
    header.header_size += length;
  }
  for (const unsigned flag : {flag_name, flag_comment}) {
    if ((flags & flag) == 0) continue;
    const auto rest = bytes.subspan(header.header_size);
    const auto end = std::ranges::find(rest, 0);
    if (end == rest.end()) return std::nullopt;
    if (flag == flag_name) header.name = std::string(rest.begin(), end);
    header.header_size += static_cast<std::size_t>(end - rest.begin()) + 1;
  }
  if ((flags & flag_header_crc) != 0) header.header_size += 2;
  if (bytes.size() < header.header_size) return std::nullopt;
  return header;
}

Bytes decompress_member(std::span<const unsigned char> member) {
  const Decompressor decompressor(libdeflate_alloc_decompressor());
  if (!decompressor) throw Error("decompress: out of memory");
  if (member.size() < fixed_header + trailer)
    throw Error(Blame::job, "a gzip member of the disk data is too short");
  const std::size_t declared = get_32(member.data() + member.size() - 4);
  if (declared > largest_member_data) throw Error(Blame::job, "a gzip member of the disk data is too large");
  Bytes data(declared);
  std::size_t written = 0;
  std::size_t read = 0;
  const auto result = libdeflate_gzip_decompress_ex(decompressor.get(), member.data(), member.size(),
                                                    data.data(), data.size(), &read, &written);
  if (result != LIBDEFLATE_SUCCESS || written != declared || read != member.size()) {
    throw Error(Blame::job, "a gzip member of the disk data is damaged");
  }
  return data;
}

}  // namespace sarde
