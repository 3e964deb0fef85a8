#include "core/image/store/arriving_blobs.hpp"

#include <optional>

#include "core/foundation/error.hpp"
#include "core/system/files.hpp"

namespace sarde {

/// Writes what is read to a file for the layout.
class KeptBlob final : public BlobReader {
 public:
  KeptBlob(std::unique_ptr<BlobReader> from, SettlingBlobs& blobs, std::filesystem::path target)
      : from_(std::move(from)),
        blobs_(blobs),
        target_(std::move(target)),
        file_(TempFile::beside(target_.parent_path() / "incoming")) {}

  std::size_t read(unsigned char* into, std::size_t size) override {
    const auto got = from_->read(into, size);
    if (got > 0) {
      write_full(file_->fd(), into, got, file_->path().string());
    } else if (file_) {
      blobs_.add(std::move(*file_), target_);
      file_.reset();
    }
    return got;
  }

 private:
  std::unique_ptr<BlobReader> from_;
  SettlingBlobs& blobs_;
  std::filesystem::path target_;
  std::optional<TempFile> file_;
};

bool ArrivingBlobs::is_here(const Descriptor& blob) {
  const auto file = layout_.blob(blob.digest);
  if (arrived_.has(file)) settle();
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
  return std::make_unique<KeptBlob>(std::move(reader), arrived_, layout_.blob(blob.digest));
}

void ArrivingBlobs::bring(const Descriptor& blob) {
  if (!is_here(blob)) read_to_end(*open(blob));
}

}  // namespace sarde
