#include "core/image/disk/reflink.hpp"

#include <linux/fs.h>
#include <string>
#include <sys/ioctl.h>

#include "core/system/files.hpp"
#include "core/system/temp_files.hpp"

namespace sarde {

bool share_extent(int from, int to, std::uint64_t offset, std::uint64_t length) {
  file_clone_range range{};
  range.src_fd = from;
  range.src_offset = offset;
  range.src_length = length;
  range.dest_offset = offset;
  return ::ioctl(to, FICLONERANGE, &range) == 0;
}

bool can_share_extents(const std::filesystem::path& folder) {
  constexpr std::size_t block = 64U << 10U;
  const auto from = TempFile::beside(folder / "from");
  const auto to = TempFile::beside(folder / "to");
  const std::string data(block, 'x');
  write_full(from.fd(), data.data(), data.size(), from.path().string());
  return share_extent(from.fd(), to.fd(), 0, block);
}

}  // namespace sarde
