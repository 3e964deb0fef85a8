#include "core/image/layout/blob_source.hpp"

#include "core/foundation/bytes.hpp"
#include "core/foundation/error.hpp"
#include "core/system/files.hpp"

namespace sarde {

namespace {

class BlobFile final : public BlobReader {
 public:
  BlobFile(const OciLayout& layout, const Descriptor& blob)
      : blob_(blob), path_(layout.blob(blob.digest).string()), file_(layout.open_blob(blob.digest)) {}

  std::size_t read(unsigned char* into, std::size_t size) override {
    const auto got = read_full(file_.get(), into, size, path_);
    hash_.update(into, got);
    read_ += got;
    if (got == 0) check();
    return got;
  }

 private:
  void check() {
    if (read_ == blob_.size && hash_.finish() == blob_.digest) return;
    throw Error("read " + path_ +
                ": its content does not match its digest; remove the file and fetch the image again");
  }

  Descriptor blob_;
  std::string path_;
  UniqueFd file_;
  Sha256 hash_;
  std::uint64_t read_ = 0;
};

}  // namespace

void read_to_end(BlobReader& blob) {
  constexpr std::size_t step = 256U << 10U;
  Bytes passed(step);
  while (blob.read(passed.data(), passed.size()) > 0) {
  }
}

std::unique_ptr<BlobReader> LayoutBlobs::open(const Descriptor& blob) {
  return std::make_unique<BlobFile>(layout_, blob);
}

}  // namespace sarde
