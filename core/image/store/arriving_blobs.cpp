#include "core/image/store/arriving_blobs.hpp"

#include <algorithm>
#include <fcntl.h>
#include <optional>

#include "core/foundation/error.hpp"
#include "core/system/files.hpp"

namespace sarde {

/// Writes what is read to a file for the layout.
class KeptBlob final : public BlobReader {
 public:
  KeptBlob(std::unique_ptr<BlobReader> from, ArrivingBlobs& blobs, std::filesystem::path target)
      : from_(std::move(from)),
        blobs_(blobs),
        target_(std::move(target)),
        file_(TempFile::beside(target_.parent_path() / "incoming")) {}

  std::size_t read(unsigned char* into, std::size_t size) override {
    const auto got = from_->read(into, size);
    if (got > 0) {
      write_full(file_->fd(), into, got, file_->path().string());
    } else if (file_) {
      // The disk begins now, so that little is left to wait for.
      ::sync_file_range(file_->fd(), 0, 0, SYNC_FILE_RANGE_WRITE);
      blobs_.note({.file = std::move(*file_), .target = target_});
      file_.reset();
    }
    return got;
  }

 private:
  std::unique_ptr<BlobReader> from_;
  ArrivingBlobs& blobs_;
  std::filesystem::path target_;
  std::optional<TempFile> file_;
};

ArrivingBlobs::~ArrivingBlobs() {
  try {
    settle();
  } catch (const std::exception&) {
    // What has no name is removed, and comes again.
  }
}

void ArrivingBlobs::note(Arrived blob) {
  constexpr std::size_t most_open = 16;
  arrived_.push_back(std::move(blob));
  if (arrived_.size() == most_open) settle_oldest(most_open / 2);
}

/// Those that came first have been written by now, for the most part.
void ArrivingBlobs::settle_oldest(std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) arrived_[i].file.sync(0600);
  for (; count > 0; --count) {
    arrived_.front().file.rename_to(arrived_.front().target);
    arrived_.pop_front();
  }
  sync_folder(layout_.blobs());
}

void ArrivingBlobs::settle() {
  if (!arrived_.empty()) settle_oldest(arrived_.size());
}

bool ArrivingBlobs::is_here(const Descriptor& blob) {
  const auto file = layout_.blob(blob.digest);
  if (std::ranges::find(arrived_, file, &Arrived::target) != arrived_.end()) settle();
  std::error_code missing;
  const auto size = std::filesystem::file_size(file, missing);
  if (missing || size == blob.size) return !missing;
  throw Error(Blame::job, "the blob " + blob.digest.text() + " has " + std::to_string(size) + " bytes, not " +
                              std::to_string(blob.size) + " as the manifest says");
}

std::unique_ptr<BlobReader> ArrivingBlobs::open(const Descriptor& blob) {
  if (is_here(blob)) return local_.open(blob);
  auto reader = registry_.open(blob);
  if (passing_.contains(blob.digest)) return reader;
  return std::make_unique<KeptBlob>(std::move(reader), *this, layout_.blob(blob.digest));
}

void ArrivingBlobs::bring(const Descriptor& blob) {
  if (!is_here(blob)) read_to_end(*open(blob));
}

}  // namespace sarde
