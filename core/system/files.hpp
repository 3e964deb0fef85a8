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

/// Opens a file for reading. Throws an Error that names the path.
UniqueFd open_to_read(const std::filesystem::path& path);

/// Reads the whole file, which may have at most `limit` bytes. Throws Error if it cannot be read or is
/// larger.
std::string read_file(const std::filesystem::path& path, std::uint64_t limit = 16U << 20U);

/// Like read_file, but returns nothing if there is no such file.
std::optional<std::string> read_file_if_there(const std::filesystem::path& path,
                                              std::uint64_t limit = 16U << 20U);

/// Reads a file below /proc that belongs to a process, a thread or a kernel setting (proc(5)). Returns
/// nothing if the file is gone, even if it disappears while it is being read (ESRCH), or if it may not be
/// read. Never throws because a process ends.
std::optional<std::string> read_proc_file(const std::filesystem::path& path);

/// The sorted entries of a folder, without entries that disappear in the meantime. Returns nothing if there
/// is no such folder. Throws Error if it cannot be read.
std::vector<std::filesystem::path> folder_entries(const std::filesystem::path& folder);

/// The last `count` bytes of a file that may be growing. Empty if there is no such file or it may not be
/// read.
std::string read_end_of_file(const std::filesystem::path& path, std::uint64_t count);

/// Reads `size` bytes, or fewer only at the end of the file. Throws an Error that calls the file `name`.
std::size_t read_full(int fd, void* buffer, std::size_t size, const std::string& name);

/// Writes all the data. Throws an Error that calls the file `name`. For ENOSPC and EDQUOT, the Error says
/// that the disk is full.
void write_full(int fd, const void* data, std::size_t size, const std::string& name);

/// Whether `fd` is a pipe or a socket of which the other end has been closed by everyone who had it.
bool is_read_by_nobody(int fd) noexcept;

/// Either writes the whole of `content` to `path` or leaves the file as it was, using a temporary file in the
/// same folder, sync and rename.
void write_file(const std::filesystem::path& path, std::string_view content, mode_t mode);

/// Makes a file that is not there yet, with mode 0600, and does not sync it. Throws Error.
void write_new_file(const std::filesystem::path& path, std::string_view content);

/// Adds a line to a file, which is made with mode 0600 if it is not there, and does not sync it. The line
/// begins anew even if an earlier one was cut off. A link is not followed. Throws Error.
void append_line(const std::filesystem::path& path, const std::string& line);

/// The file's size and the time of the last change of its content, as one text; empty if there is none.
std::string look_of(const std::filesystem::path& file);

/// The time since the last change; 0 if the file is gone, or if the time is in the future.
std::chrono::seconds age_of(const std::filesystem::path& path);

/// Sets the time of the last change to now. Does nothing if there is no such file, or if it belongs to
/// another account.
void set_modified_now(const std::filesystem::path& path) noexcept;

/// The free space in bytes that is available to this process on the folder's file system; 0 if it cannot be
/// determined.
std::uint64_t free_space(const std::filesystem::path& folder) noexcept;

/// The size in bytes of a file or of a block device. Throws Error.
std::uint64_t size_of(const std::filesystem::path& path);

/// Creates a file of this size that takes no disk space.
void make_sparse_file(const std::filesystem::path& path, std::uint64_t size);

/// Creates the folder with exactly this mode, and any missing folders above it. The folders above can only be
/// passed through unless `above` says otherwise. Existing folders are left as they are, whatever they link
/// to.
void make_folders(const std::filesystem::path& path, mode_t mode, mode_t above = 0711);

/// Sets the mode of a file or folder that belongs to this program and, if one is given, its group. Throws
/// Error. A link is not followed but refused.
void set_mode(const std::filesystem::path& path, mode_t mode, std::optional<gid_t> group = std::nullopt);

/// Removes a file, or a folder with its contents. Does nothing if there is none. Throws Error if anything
/// remains.
void remove_if_there(const std::filesystem::path& path);

/// Makes a rename or a new entry in the folder survive a power failure.
void sync_folder(const std::filesystem::path& folder);

/// Describes the errno of a system call, with advice where possible.
std::string errno_text(int error);

/// Throws the Error of a system call that has just failed: `doing`, then the path, then what errno means.
[[noreturn]] void fail_by_errno(const std::string& doing, const std::filesystem::path& path);

}  // namespace sarde
