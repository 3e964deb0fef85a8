#include "core/image/layout/settling_blobs.hpp"

#include <algorithm>
#include <fcntl.h>

#include "core/system/files.hpp"

namespace sarde {

SettlingBlobs::~SettlingBlobs() {
  try {
    settle();
  } catch (const std::exception&) {
    // What has no name is removed, and made or fetched again.
  }
}

void SettlingBlobs::add(TempFile blob, std::filesystem::path target) {
  constexpr std::size_t most_open = 16;
  // The disk begins now, so that little is left to wait for.
  ::sync_file_range(blob.fd(), 0, 0, SYNC_FILE_RANGE_WRITE);
  blobs_.push_back({.file = std::move(blob), .target = std::move(target)});
  // Those that came first have been written by now, for the most part.
  if (blobs_.size() == most_open) settle_oldest(most_open / 2);
}

bool SettlingBlobs::has(const std::filesystem::path& target) const {
  return std::ranges::find(blobs_, target, &Blob::target) != blobs_.end();
}

void SettlingBlobs::settle_oldest(std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) blobs_[i].file.sync(0600);
  for (; count > 0; --count) {
    blobs_.front().file.rename_to(blobs_.front().target);
    blobs_.pop_front();
  }
  sync_folder(folder_);
}

void SettlingBlobs::settle() {
  if (!blobs_.empty()) settle_oldest(blobs_.size());
}

}  // namespace sarde
