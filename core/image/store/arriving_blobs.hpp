#pragma once

#include <deque>
#include <memory>
#include <set>

#include "core/image/layout/blob_source.hpp"
#include "core/system/temp_files.hpp"

namespace sarde {

/// The blobs of an image that is being fetched: those that its layout has, and else the registry's, which
/// then are put into the layout, except those that only pass through.
class ArrivingBlobs final : public BlobSource {
 public:
  /// `passing`: digests of the blobs that only pass through. What these are made from must outlive this.
  ArrivingBlobs(const OciLayout& layout, BlobSource& registry, std::set<Digest> passing)
      : layout_(layout), local_(layout), registry_(registry), passing_(std::move(passing)) {}

  /// Also throws Error (the job's fault) if the layout's blob has another size than the manifest says.
  std::unique_ptr<BlobReader> open(const Descriptor& blob) override;

  /// Gives what has come, but has not been synced yet, its names, as far as it can.
  ~ArrivingBlobs() override;

  /// Reads the blob, unless the layout has one of its size; it is there after settle(). Throws what open()
  /// and reading it throw.
  void bring(const Descriptor& blob);

  /// Blocks until all that came is on the disk, and has its name in the layout. Throws Error.
  void settle();

 private:
  friend class KeptBlob;

  /// A blob that has come whole.
  struct Arrived {
    TempFile file;
    std::filesystem::path target;
  };

  bool is_here(const Descriptor& blob);
  void note(Arrived blob);
  void settle_oldest(std::size_t count);

  const OciLayout& layout_;
  LayoutBlobs local_;
  BlobSource& registry_;
  std::set<Digest> passing_;
  std::deque<Arrived> arrived_;
};

}  // namespace sarde
