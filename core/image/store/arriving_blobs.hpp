#pragma once

#include <memory>
#include <set>
#include <string>

#include "core/image/layout/blob_source.hpp"

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

  /// Blocks until the blob is in the layout. Throws what reading it throws.
  void bring(const Descriptor& blob);

 private:
  const OciLayout& layout_;
  LayoutBlobs local_;
  BlobSource& registry_;
  std::set<Digest> passing_;
};

}  // namespace sarde
