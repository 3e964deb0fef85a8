#pragma once

#include <filesystem>
#include <string>
#include <sys/types.h>
#include <utility>

#include "core/foundation/unique_fd.hpp"

namespace sarde {

/// Returns a lock on a temporary file or folder, to be held while it is removed, if the process that created
/// it is dead. Returns none if that process is alive, because it then holds the lock itself (flock(2)), or if
/// this cannot be determined.
UniqueFd claim_abandoned(const std::filesystem::path& temporary);

/// A file that is removed again unless it is renamed: the first half of "appears completely or not at all".
class TempFile {
 public:
  /// Creates the file in the folder of `target`, which keeps the rename on one file system, with mode 0600.
  /// Throws Error.
  static TempFile beside(const std::filesystem::path& target);

  TempFile(const TempFile&) = delete;
  TempFile& operator=(const TempFile&) = delete;
  TempFile(TempFile&& other) noexcept;
  TempFile& operator=(TempFile&& other) noexcept;
  ~TempFile();

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

  /// Writes the file to disk permanently and gives it its final name. Replaces an existing file.
  void sync_and_rename_to(const std::filesystem::path& target, mode_t mode);

  // The same in steps, for many files in one folder: sync_folder() comes last.
  void sync(mode_t mode);
  void rename_to(const std::filesystem::path& target);

 private:
  TempFile(UniqueFd fd, std::filesystem::path path) : fd_(std::move(fd)), path_(std::move(path)) {}

  UniqueFd fd_;
  std::filesystem::path path_;
};

/// A folder that is removed with its contents unless it is renamed.
class TempFolder {
 public:
  /// `parent`/`prefix`XXXXXX, made with `mode`.
  static TempFolder in(const std::filesystem::path& parent, const std::string& prefix, mode_t mode);

  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  TempFolder(TempFolder&& other) noexcept;
  TempFolder& operator=(TempFolder&& other) noexcept;
  ~TempFolder();

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

  /// Gives the folder its final name, and syncs folder and name if that is wanted. Throws Error if there is
  /// one of that name already.
  void rename_to(const std::filesystem::path& target, bool sync = true);

 private:
  explicit TempFolder(std::filesystem::path path) : path_(std::move(path)) {}

  std::filesystem::path path_;
  UniqueFd lock_;
};

}  // namespace sarde
