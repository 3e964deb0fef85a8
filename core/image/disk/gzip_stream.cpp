#include "core/image/disk/gzip_stream.hpp"

#include <algorithm>
#include <array>
#include <isa-l.h>
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

struct MemberCompressor::State {
  Compressor small;
  isal_zstream fast{};
  Buffer fast_level;  ///< ISA-L's working memory
};

MemberCompressor::MemberCompressor(Compression compression) : state_(std::make_unique<State>()) {
  constexpr int small_level = 5;
  constexpr unsigned fast_level = 2;
  if (compression == Compression::small) {
    state_->small.reset(libdeflate_alloc_compressor(small_level));
    if (!state_->small) throw Error("compress: out of memory");
    return;
  }
  isal_deflate_stateless_init(&state_->fast);
  state_->fast.level = fast_level;
  state_->fast.level_buf = state_->fast_level.make(ISAL_DEF_LVL2_DEFAULT);
  state_->fast.level_buf_size = ISAL_DEF_LVL2_DEFAULT;
}

MemberCompressor::~MemberCompressor() = default;

namespace {

std::size_t deflate_fast(isal_zstream& stream, std::span<const unsigned char> data, unsigned char* out,
                         std::size_t room) {
  isal_deflate_reset(&stream);
  stream.next_in = const_cast<unsigned char*>(data.data());
  stream.avail_in = static_cast<std::uint32_t>(data.size());
  stream.next_out = out;
  stream.avail_out = static_cast<std::uint32_t>(room);
  stream.end_of_stream = 1;
  stream.flush = NO_FLUSH;
  stream.gzip_flag = IGZIP_DEFLATE;
  if (isal_deflate_stateless(&stream) != COMP_OK || stream.avail_in != 0) return 0;
  return room - stream.avail_out;
}

}  // namespace

void MemberCompressor::compress(std::span<const unsigned char> data, std::string_view name, Buffer& member) {
  const auto header = header_of(name);
  // Data that does not compress is stored, in blocks of up to 64 KiB with five bytes each.
  const auto room = data.size() + data.size() / 1000 + 1024;
  auto* const start = member.make(header.size() + room + trailer);
  std::ranges::copy(header, start);
  auto* const deflated = start + header.size();
  const auto size = state_->small ? libdeflate_deflate_compress(state_->small.get(), data.data(), data.size(),
                                                                deflated, room)
                                  : deflate_fast(state_->fast, data, deflated, room);
  if (size == 0) throw Error("compress: the compressor gave no output");
  member.cut(header.size() + size + trailer);
  put_32(start + size_field_at, static_cast<std::uint32_t>(member.size()));
  put_32(deflated + size, libdeflate_crc32(0, data.data(), data.size()));
  put_32(deflated + size + 4, static_cast<std::uint32_t>(data.size()));
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

std::uint32_t member_data_size(std::span<const unsigned char> member) {
  if (member.size() < fixed_header + trailer)
    throw Error(Blame::job, "a gzip member of the disk data is too short");
  return get_32(member.data() + member.size() - 4);
}

struct MemberDecompressor::State {
  Decompressor decompressor{libdeflate_alloc_decompressor()};
};

MemberDecompressor::MemberDecompressor() : state_(std::make_unique<State>()) {
  if (!state_->decompressor) throw Error("decompress: out of memory");
}

MemberDecompressor::~MemberDecompressor() = default;

void MemberDecompressor::decompress(std::span<const unsigned char> member, Buffer& data) {
  const std::size_t declared = member_data_size(member);
  if (declared > largest_member_data) throw Error(Blame::job, "a gzip member of the disk data is too large");
  std::size_t written = 0;
  std::size_t read = 0;
  // One byte more, for a member of nothing still wants a place to write to.
  auto* const out = data.make(declared + 1);
  data.cut(declared);
  const auto result = libdeflate_gzip_decompress_ex(state_->decompressor.get(), member.data(), member.size(),
                                                    out, declared, &read, &written);
  if (result != LIBDEFLATE_SUCCESS || written != declared || read != member.size()) {
    throw Error(Blame::job, "a gzip member of the disk data is damaged");
  }
}

struct MemberInflater::State {
  inflate_state state{};
};

MemberInflater::MemberInflater() : state_(std::make_unique<State>()) {
  isal_inflate_init(&state_->state);
  state_->state.crc_flag = ISAL_GZIP_NO_HDR_VER;
}

MemberInflater::~MemberInflater() = default;

MemberInflater::Step MemberInflater::inflate(std::span<const unsigned char> input,
                                             std::span<unsigned char> output) {
  auto& state = state_->state;
  state.next_in = const_cast<unsigned char*>(input.data());
  state.avail_in = static_cast<std::uint32_t>(input.size());
  state.next_out = output.data();
  state.avail_out = static_cast<std::uint32_t>(output.size());
  const int result = isal_inflate(&state);
  if (result < 0) {
    throw Error(Blame::job,
                std::string("the disk's gzip data is damaged (") +
                    (result == ISAL_INCORRECT_CHECKSUM ? "its checksum is wrong" : "no deflate data") + ")");
  }
  return {.read = input.size() - state.avail_in,
          .written = output.size() - state.avail_out,
          .ended = state.block_state == ISAL_BLOCK_FINISH};
}

}  // namespace sarde
