#pragma once

#include <cstdint>

/// The part of the NBD protocol that QEMU needs to read a disk
/// (https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md): the fixed newstyle handshake without
/// TLS, simple replies, one export for each name. All numbers are big-endian.
namespace sarde::nbd {

inline constexpr std::uint64_t greeting = 0x4e42444d41474943;      ///< "NBDMAGIC"
inline constexpr std::uint64_t option_magic = 0x49484156454f5054;  ///< "IHAVEOPT"
inline constexpr std::uint64_t option_reply_magic = 0x3e889045565a9;
inline constexpr std::uint32_t request_magic = 0x25609513;
inline constexpr std::uint32_t reply_magic = 0x67446698;

namespace handshake_flag {
inline constexpr std::uint16_t fixed_newstyle = 1;
inline constexpr std::uint16_t no_zeroes = 2;
}  // namespace handshake_flag

namespace option {
inline constexpr std::uint32_t export_name = 1;
inline constexpr std::uint32_t abort = 2;
inline constexpr std::uint32_t info = 6;
inline constexpr std::uint32_t go = 7;
}  // namespace option

namespace option_reply {
inline constexpr std::uint32_t ack = 1;
inline constexpr std::uint32_t info = 3;
inline constexpr std::uint32_t unsupported = 0x80000001;
inline constexpr std::uint32_t unknown = 0x80000006;
}  // namespace option_reply

inline constexpr std::uint16_t info_export = 0;

namespace transmission_flag {
inline constexpr std::uint16_t has_flags = 1;
inline constexpr std::uint16_t read_only = 2;
inline constexpr std::uint16_t multi_conn = 256;
}  // namespace transmission_flag

namespace command {
inline constexpr std::uint16_t read = 0;
inline constexpr std::uint16_t disconnect = 2;
inline constexpr std::uint16_t flush = 3;
}  // namespace command

namespace error {
inline constexpr std::uint32_t input_output = 5;
inline constexpr std::uint32_t invalid = 22;
}  // namespace error

inline constexpr std::uint32_t longest_option = 4096;  ///< a name has 256 bytes at most where people are kind
inline constexpr std::uint32_t longest_read = 32U << 20U;  ///< what a client may ask for at once by default

}  // namespace sarde::nbd
