#include "core/image/store/arriving_blobs.hpp"

#include <optional>

#include "core/foundation/bytes.hpp"
#include "core/foundation/error.hpp"
#include "core/system/files.hpp"
#include "core/system/temp_files.hpp"

namespace sarde {

namespace {

/// Puts what is read into the layout, once it is complete.
class KeptBlob final : public BlobReader {
 public:
  KeptBlob(std::unique_ptr<BlobReader> from, std::filesystem::path target)
      : from_(std::move(from)), target_(std::move(target)), file_(TempFile::beside(target_)) {}

  std::size_t read(unsigned char* into, std::size_t size) override {
    const auto got = from_->read(into, size);
    if (got > 0) {
      write_full(file_->fd(), into, got, file_->path().string());
    } else if (file_) {
      file_->sync_and_rename_to(target_, 0600);
      file_.reset();
    }
    return got;
  }

 private:
  std::unique_ptr<BlobReader> from_;
  std::filesystem::path target_;
  std::optional<TempFile> file_;
};

}  // namespace

std::unique_ptr<BlobReader> ArrivingBlobs::open(const Descriptor& blob) {
  const auto file = layout_.blob(blob.digest);
  std::error_code missing;
  const auto size = std::filesystem::file_size(file, missing);
  if (missing) {
    auto reader = registry_.open(blob);
    if (passing_.contains(blob.digest)) return reader;
    return std::make_unique<KeptBlob>(std::move(reader), file);
  }
  if (size != blob.size)
    throw Error(Blame::job, "the blob " + blob.digest.text() + " has " + std::to_string(size) +
                                " bytes, not " + std::to_string(blob.size) + " as the manifest says");
  return local_.open(blob);
}

void ArrivingBlobs::bring(const Descriptor& blob) {
  constexpr std::size_t step = 256U << 10U;
  Bytes passed(step);
  const auto reader = open(blob);
  while (reader->read(passed.data(), passed.size()) > 0) {
  }
}

}  // namespace sarde
