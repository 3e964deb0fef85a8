#pragma once

#include <filesystem>
#include <string>
#include <sys/types.h>
#include <utility>

#include "core/foundation/unique_fd.hpp"

namespace sarde {

/// A lock on a temporary file or folder whose maker is dead, to be held while it is removed; none where the
/// maker lives, who holds it himself (flock(2)), or where that cannot be told.
UniqueFd claim_abandoned(const std::filesystem::path& temporary);

/// A file that is gone again unless it is renamed: the first half of "appears whole or not at all".
class TempFile {
 public:
  /// In the folder of `target`, so that the rename stays on one file system; mode 0600. Throws Error.
  static TempFile beside(const std::filesystem::path& target);

  TempFile(const TempFile&) = delete;
  TempFile& operator=(const TempFile&) = delete;
  TempFile(TempFile&& other) noexcept;
  TempFile& operator=(TempFile&& other) noexcept;
  ~TempFile();

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

  /// The file under its own name, on the disk for good. Replaces what was there.
  void sync_and_rename_to(const std::filesystem::path& target, mode_t mode);

 private:
  TempFile(UniqueFd fd, std::filesystem::path path) : fd_(std::move(fd)), path_(std::move(path)) {}

  UniqueFd fd_;
  std::filesystem::path path_;
};

/// A folder that is removed with all in it unless it is renamed.
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

  /// The folder under its own name. Throws Error if there is one already.
  void rename_to(const std::filesystem::path& target);

 private:
  explicit TempFolder(std::filesystem::path path) : path_(std::move(path)) {}

  std::filesystem::path path_;
  UniqueFd lock_;
};

}  // namespace sarde
