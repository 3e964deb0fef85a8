#pragma once

#include <cstdint>
#include <filesystem>

namespace sarde {

/// Can files in this folder share extents (FICLONERANGE: XFS, btrfs)? Tries it with two small files of its
/// own.
bool can_share_extents(const std::filesystem::path& folder);

/// Makes bytes of `to` those of `from` without copying: both share the extents from then on. Offset and
/// length are multiples of the file system's block, or the length ends at the end of `from`. False where the
/// file system cannot.
bool share_extent(int from, int to, std::uint64_t offset, std::uint64_t length);

}  // namespace sarde
