#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>

#include "core/foundation/unique_fd.hpp"
#include "core/system/clock.hpp"

namespace sarde {

/// An exclusive lock between processes on a file that is created for this purpose (flock(2)). The kernel
/// releases the lock when its holder ends, however that happens. The file is not removed.
class FileLock {
 public:
  struct Waiting {
    Clock& clock;
    Cancellation& cancellation;
    TimePoint deadline;
    /// Called once before the first wait.
    std::function<void()> announce = {};
  };

  /// Waits until no other process holds the lock. Throws Error when the deadline has passed, and Cancelled
  /// when a stop is requested.
  static FileLock wait_for(const std::filesystem::path& path, const Waiting& waiting);

  /// The same for a lock on a folder itself, which must exist.
  static FileLock on_folder(const std::filesystem::path& folder, const Waiting& waiting);

  /// Returns nothing if the lock is already held.
  static std::optional<FileLock> try_for(const std::filesystem::path& path);

  /// Whether a process holds the lock. A file that is not there, or goes away, is not locked; none is made.
  static bool is_held(const std::filesystem::path& path);

  /// Takes over a lock that another process has passed on as an open file.
  static FileLock passed_on(UniqueFd fd) { return FileLock(std::move(fd)); }

  /// To pass it on: the lock is held as long as one process has the file open.
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  explicit FileLock(UniqueFd fd) : fd_(std::move(fd)) {}

  UniqueFd fd_;
};

}  // namespace sarde
