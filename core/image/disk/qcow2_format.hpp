#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

/// What qcow2 files are made of (QEMU, docs/interop/qcow2.txt), as far as they are read and written here.
namespace sarde::qcow2 {

inline constexpr std::string_view magic = "QFI\xfb";
inline constexpr std::size_t largest_header = 64U << 10U;  ///< with extensions and names, as we read it
inline constexpr std::size_t header_length_of_version_2 = 72;
inline constexpr std::size_t header_length_of_version_3 = 104;  ///< at least
inline constexpr std::size_t longest_backing_name = 1023;
inline constexpr std::size_t longest_backing_format = 15;
inline constexpr std::uint64_t table_entry_size = 8;  ///< of L1, L2 and refcount tables
inline constexpr std::uint64_t extended_l2_entry_size = 16;

/// A number of the header, big-endian: where it is and how long, in bytes.
struct Field {
  std::size_t at;
  std::size_t size;
};

namespace field {
inline constexpr Field version{4, 4};
inline constexpr Field backing_name_at{8, 8};
inline constexpr Field backing_name_size{16, 4};
inline constexpr Field cluster_bits{20, 4};
inline constexpr Field virtual_size{24, 8};
inline constexpr Field encryption{32, 4};
inline constexpr Field l1_entries{36, 4};
inline constexpr Field l1_at{40, 8};
inline constexpr Field refcount_table_at{48, 8};
inline constexpr Field refcount_table_clusters{56, 4};
inline constexpr Field snapshots{60, 4};
inline constexpr Field snapshots_at{64, 8};
// from version 3 on
inline constexpr Field incompatible_features{72, 8};
inline constexpr Field refcount_order{96, 4};
inline constexpr Field header_length{100, 4};
inline constexpr Field compression_type{104, 1};  ///< only in a header that is longer than its fixed fields
}  // namespace field

/// Bits of the incompatible features.
namespace incompatible {
inline constexpr std::uint64_t dirty = 1;
inline constexpr std::uint64_t corrupt = 2;
inline constexpr std::uint64_t external_data = 4;
inline constexpr std::uint64_t compression_type = 8;
inline constexpr std::uint64_t extended_l2 = 16;
}  // namespace incompatible

/// Types of header extensions. Each has its type and its length, four bytes each, before its data.
namespace extension {
inline constexpr std::uint32_t end = 0;
inline constexpr std::uint32_t backing_format = 0xe2792aca;
inline constexpr std::uint32_t encryption = 0x0537be77;
inline constexpr std::uint32_t bitmaps = 0x23852875;
inline constexpr std::size_t head_size = 8;
}  // namespace extension

/// Extensions' data and snapshots are padded to eight bytes.
constexpr std::uint64_t padded(std::uint64_t size) {
  return (size + 7) / 8 * 8;
}

}  // namespace sarde::qcow2
