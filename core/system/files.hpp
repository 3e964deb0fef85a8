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

/// What a system call's errno means, with advice where there is some.
std::string errno_text(int error);

/// Throws the Error of a system call that has just failed: `doing`, then the path, then what errno means.
[[noreturn]] void fail_by_errno(const std::string& doing, const std::filesystem::path& path);

}  // namespace sarde
