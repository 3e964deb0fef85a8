#pragma once

#include <cstdint>
#include <span>

#include "core/foundation/error.hpp"
#include "core/image/disk/disk_packing.hpp"

namespace sarde {

/// What was to be taken from another file could not be read to its end.
class ReuseFailed : public Error {
 public:
  explicit ReuseFailed(const std::string& message) : Error(message) {}
};

/// Where a disk's bytes go. Workers put them at their places in any order, the owner then tells of them in
/// their order.
class DiskSink {
 public:
  DiskSink() = default;
  DiskSink(const DiskSink&) = delete;
  DiskSink& operator=(const DiskSink&) = delete;
  virtual ~DiskSink() = default;

  /// Puts bytes at their place in the disk. May be called in several threads at once. Throws Error.
  virtual void put(std::span<const unsigned char> data, std::uint64_t at) const = 0;

  /// Counts bytes that have been put: all of the disk's, in their order, one call at a time.
  virtual void took(std::span<const unsigned char> data) = 0;

  /// Takes the next bytes from another file; false, and nothing is taken, if that cannot be had. Throws
  /// ReuseFailed, Error.
  virtual bool share(const KnownSpan& span) = 0;
};

}  // namespace sarde
