#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/image/disk/qcow2_fields.hpp"

namespace sarde::qcow2 {

/// What a header's extensions say.
struct Extensions {
  std::optional<std::string> backing_format;
  bool has_bitmaps = false;  ///< persistent ones, whose list is elsewhere in the file
  std::uint64_t end = 0;     ///< where something else may begin
  bool is_odd = false;       ///< one is longer than there is room, or not what QEMU takes of its kind
};

/// Reads the extensions from behind the header up to `limit`, where the backing file's name begins, as QEMU
/// does.
Extensions extensions_before(std::uint64_t limit, const Fields& fields);

}  // namespace sarde::qcow2
