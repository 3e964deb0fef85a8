#include "core/image/disk/qcow2_extensions.hpp"

#include <algorithm>

#include "core/image/disk/qcow2_format.hpp"

namespace sarde::qcow2 {

namespace {

/// What QEMU takes for the list of bitmaps (docs/interop/qcow2.txt, block/qcow2-bitmap.c).
bool are_bitmaps(const Fields& fields, std::uint64_t at, std::uint64_t length) {
  constexpr std::uint64_t whole = 24;
  constexpr std::uint64_t most = 65535;
  constexpr std::uint64_t longest_list = most * 1024;
  if (length != whole) return false;
  const auto count = fields.number(at, 4);
  const auto list_size = fields.number(at + 8, 8);
  const auto list_at = fields.number(at + 16, 8);
  return count >= 1 && count <= most && fields.number(at + 4, 4) == 0 && list_size != 0 &&
         list_size <= longest_list && list_at != 0 && list_at % cluster_size(fields) == 0;
}

}  // namespace

Extensions extensions_before(std::uint64_t limit, const Fields& fields) {
  Extensions found;
  auto at = header_length(fields);
  while (at < limit) {
    const auto type = fields.number(at, 4);
    const auto length = static_cast<std::size_t>(fields.number(at + 4, 4));
    const auto data_at = at + extension::head_size;
    if (type == extension::end) break;
    const bool is_format = type == extension::backing_format;
    found.is_odd = length > limit - std::min(limit, data_at) ||
                   (is_format && length > longest_backing_format) || type == extension::encryption ||
                   (type == extension::bitmaps && !are_bitmaps(fields, data_at, length));
    if (found.is_odd) break;
    found.has_bitmaps = found.has_bitmaps || type == extension::bitmaps;
    if (is_format) found.backing_format = fields.text(data_at, length);
    at = data_at + padded(length);
  }
  found.end = at + extension::head_size;
  return found;
}

}  // namespace sarde::qcow2
