#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

#include "core/foundation/unique_fd.hpp"

namespace sarde {

/// Opens for reading. Throws Error naming the path.
UniqueFd open_to_read(const std::filesystem::path& path);

/// The whole file, at most `limit` bytes. Throws Error if it cannot be read or is larger.
std::string read_file(const std::filesystem::path& path, std::uint64_t limit = 16U << 20U);

/// As read_file, or nothing where there is no such file.
std::optional<std::string> read_file_if_there(const std::filesystem::path& path,
                                              std::uint64_t limit = 16U << 20U);

/// A file below /proc of a process, thread or kernel setting (proc(5)): nothing where it is gone, also when
/// that happens while it is read (ESRCH), or may not be read. Never throws for a process that ends.
std::optional<std::string> read_proc_file(const std::filesystem::path& path);

/// What a folder holds, sorted; nothing where there is no such folder, and without what vanishes meanwhile.
/// Throws Error if it cannot be read.
std::vector<std::filesystem::path> folder_entries(const std::filesystem::path& folder);

/// The last `count` bytes of a file that may be growing; empty if there is no such file or it may not be
/// read.
std::string read_end_of_file(const std::filesystem::path& path, std::uint64_t count);

/// Reads up to `size` bytes, fewer only at the end of the file. Throws Error, calling the file `name`.
std::size_t read_full(int fd, void* buffer, std::size_t size, const std::string& name);

/// Writes all. Throws Error, calling the file `name`; ENOSPC and EDQUOT say that the disk is full.
void write_full(int fd, const void* data, std::size_t size, const std::string& name);

/// Is it a pipe or a socket whose other end has been closed by all who had it?
bool is_read_by_nobody(int fd) noexcept;

/// Makes `path` hold `content` whole or leaves it as it was: temporary file beside it, sync, rename.
void write_file(const std::filesystem::path& path, std::string_view content, mode_t mode);

/// Time since the last change; 0 for what is gone, or from the future.
std::chrono::seconds age_of(const std::filesystem::path& path);

/// Sets the time of the last change to now; nothing happens if there is no such file, or it is another's.
void set_modified_now(const std::filesystem::path& path) noexcept;

/// Bytes that are free for us on the file system of this folder; 0 if that cannot be told.
std::uint64_t free_space(const std::filesystem::path& folder) noexcept;

/// Makes a file of that size which takes no room.
void make_sparse_file(const std::filesystem::path& path, std::uint64_t size);

/// Makes the folder, with exactly this mode, and what is missing above it, through which one can only pass
/// unless `above` says otherwise. Those that are there stay as they are, whatever they link to.
void make_folders(const std::filesystem::path& path, mode_t mode, mode_t above = 0711);

/// Sets the mode of a file or folder of ours and, if one is given, its group. Throws Error; a link is not
/// followed but refused.
void set_mode(const std::filesystem::path& path, mode_t mode, std::optional<gid_t> group = std::nullopt);

/// Removes a file or a folder with all in it. Fine if there is none. Throws Error if something stays.
void remove_if_there(const std::filesystem::path& path);

/// Makes a rename or a new entry in the folder last over a power cut.
void sync_folder(const std::filesystem::path& folder);

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

/// What a system call's errno means, with advice where there is some.
std::string errno_text(int error);

}  // namespace sarde
