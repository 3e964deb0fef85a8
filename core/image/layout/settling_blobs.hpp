#pragma once

#include <cstddef>
#include <deque>
#include <filesystem>

#include "core/system/temp_files.hpp"

namespace sarde {

/// Blobs that are complete, and on their way to the disk: they get their names when they are there, a few at
/// a time, so that nobody waits for each.
class SettlingBlobs {
 public:
  /// `folder`: of the layout's blobs.
  explicit SettlingBlobs(std::filesystem::path folder) : folder_(std::move(folder)) {}

  SettlingBlobs(const SettlingBlobs&) = delete;
  SettlingBlobs& operator=(const SettlingBlobs&) = delete;

  /// Settles what is left, as far as it can.
  ~SettlingBlobs();

  /// The blob will be `target` in the folder. Throws Error.
  void add(TempFile blob, std::filesystem::path target);

  /// Whether this one has been added, and has no name yet.
  [[nodiscard]] bool has(const std::filesystem::path& target) const;

  /// Blocks until all are on the disk, and have their names. Throws Error.
  void settle();

 private:
  struct Blob {
    TempFile file;
    std::filesystem::path target;
  };

  void settle_oldest(std::size_t count);

  std::filesystem::path folder_;
  std::deque<Blob> blobs_;
};

}  // namespace sarde
