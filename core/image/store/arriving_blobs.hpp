#pragma once

#include <memory>
#include <set>

#include "core/image/layout/blob_source.hpp"
#include "core/image/layout/settling_blobs.hpp"

namespace sarde {

/// The blobs of an image that is being fetched: those that its layout has, and else the registry's, which
/// then are put into the layout, except those that only pass through.
class ArrivingBlobs final : public BlobSource {
 public:
  /// `passing`: digests of the blobs that only pass through. What these are made from must outlive this.
  ArrivingBlobs(const OciLayout& layout, BlobSource& registry, std::set<Digest> passing)
      : layout_(layout),
        local_(layout),
        registry_(registry),
        passing_(std::move(passing)),
        arrived_(layout.blobs()) {}

  /// Also throws Error (the job's fault) if the layout's blob has another size than the manifest says.
  std::unique_ptr<BlobReader> open(const Descriptor& blob) override;

  /// Reads the blob, unless the layout has one of its size; it is there after settle(). Throws what open()
  /// and reading it throw.
  void bring(const Descriptor& blob);

  /// Blocks until all that came is on the disk, and has its name in the layout. Throws Error.
  void settle() { arrived_.settle(); }

 private:
  bool is_here(const Descriptor& blob);

  const OciLayout& layout_;
  LayoutBlobs local_;
  BlobSource& registry_;
  std::set<Digest> passing_;
  SettlingBlobs arrived_;  ///< those that have come whole
};

}  // namespace sarde
