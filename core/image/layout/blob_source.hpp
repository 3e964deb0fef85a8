#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "core/foundation/digest.hpp"
#include "core/foundation/unique_fd.hpp"
#include "core/image/layout/oci_layout.hpp"

namespace sarde {

/// The bytes of one blob, in their order.
class BlobReader {
 public:
  BlobReader() = default;
  BlobReader(const BlobReader&) = delete;
  BlobReader& operator=(const BlobReader&) = delete;
  virtual ~BlobReader() = default;

  /// Reads `size` bytes at most; blocks until there is at least one. Returns 0 once the blob is complete: its
  /// size and its digest are right then, and until then nothing that was read may be relied on. Throws Error,
  /// Cancelled.
  virtual std::size_t read(unsigned char* into, std::size_t size) = 0;
};

/// Reads what is left of the blob, and drops it. Throws what read() throws.
void read_to_end(BlobReader& blob);

/// A place that has blobs.
class BlobSource {
 public:
  BlobSource() = default;
  BlobSource(const BlobSource&) = delete;
  BlobSource& operator=(const BlobSource&) = delete;
  virtual ~BlobSource() = default;

  /// A reader at the blob's beginning. The source must outlive it. Throws Error, Cancelled.
  virtual std::unique_ptr<BlobReader> open(const Descriptor& blob) = 0;
};

/// The blobs that a layout has.
class LayoutBlobs final : public BlobSource {
 public:
  /// The layout must outlive this.
  explicit LayoutBlobs(const OciLayout& layout) : layout_(layout) {}

  /// Its readers throw Error, with what to do, where a file is missing or is not what its name says.
  std::unique_ptr<BlobReader> open(const Descriptor& blob) override;

 private:
  const OciLayout& layout_;
};

}  // namespace sarde
