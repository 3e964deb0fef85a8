#pragma once

#include <filesystem>
#include <string>

#include "core/image/layout/oci_layout.hpp"
#include "core/image/store/store_settings.hpp"
#include "core/system/file_lock.hpp"

namespace sarde {

/// Lock files. blobs_lock: held while blobs are added to or removed from a layout; unpacked_lock: while an
/// unpacked image's folder is made or removed, or its disks are served. Whoever waits for both takes
/// unpacked_lock first: a job that holds a disk server, and with it that lock, adds blobs.
std::filesystem::path blobs_lock(const OciLayout& layout);
std::filesystem::path unpacked_lock(const std::filesystem::path& vmdir, const std::string& name);

/// The waits for another process that is at work on the same image: as long as the settings say, and
/// announced.
class StoreLocks {
 public:
  StoreLocks(const StoreSettings& settings, Clock& clock, Cancellation& cancellation)
      : settings_(settings), clock_(clock), cancellation_(cancellation) {}

  /// Waits for blobs_lock, making the layout if there is none. Throws as FileLock does.
  [[nodiscard]] FileLock of_blobs(const OciLayout& layout) const;

  /// Waits for unpacked_lock.
  [[nodiscard]] FileLock of_unpacked(const std::string& name) const;

  /// For the lock of a layout's index.
  [[nodiscard]] FileLock::Waiting for_index(const OciLayout& layout) const;

 private:
  [[nodiscard]] FileLock::Waiting waiting(const std::string& what) const;

  const StoreSettings& settings_;
  Clock& clock_;
  Cancellation& cancellation_;
};

}  // namespace sarde
