#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>

#include "core/foundation/unique_fd.hpp"
#include "core/system/clock.hpp"

namespace sarde {

/// An exclusive lock between processes on a file that is made for it (flock(2)): the kernel lets go of it
/// when its holder dies, however that happens. The file stays.
class FileLock {
 public:
  struct Waiting {
    Clock& clock;
    Cancellation& cancellation;
    TimePoint deadline;
    /// Called once before the first wait.
    std::function<void()> announce = {};
  };

  /// Waits until nobody else holds it. Throws Error past the deadline, Cancelled when asked to stop.
  static FileLock wait_for(const std::filesystem::path& path, const Waiting& waiting);

  /// Nothing if somebody else holds it.
  static std::optional<FileLock> try_for(const std::filesystem::path& path);

 private:
  explicit FileLock(UniqueFd fd) : fd_(std::move(fd)) {}

  UniqueFd fd_;
};

}  // namespace sarde
