#include "core/system/files.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <system_error>

#include "core/foundation/c_handle.hpp"
#include "core/foundation/error.hpp"
#include "core/system/temp_files.hpp"

namespace sarde {

namespace fs = std::filesystem;

std::string errno_text(int error) {
  const auto text = std::generic_category().message(error);
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return text + " (make room there, or choose another folder)";
    case EROFS:
      return text + " (is it mounted read-only?)";
    default:
      return text;
  }
}

void fail_by_errno(const std::string& doing, const fs::path& path) {
  const int error = errno;
  throw Error(doing + " " + path.string() + ": " + errno_text(error));
}

UniqueFd open_to_read(const fs::path& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) fail_by_errno("open", path);
  return fd;
}

namespace {

std::string read_all(int fd, const fs::path& path, std::uint64_t limit) {
  std::string content;
  std::array<char, 65536> buffer{};
  for (;;) {
    const auto got = read_full(fd, buffer.data(), buffer.size(), path.string());
    content.append(buffer.data(), got);
    if (content.size() > limit)
      throw Error("read " + path.string() + ": it is larger than " + std::to_string(limit) + " bytes");
    if (got < buffer.size()) return content;
  }
}

}  // namespace

std::string read_file(const fs::path& path, std::uint64_t limit) {
  return read_all(open_to_read(path).get(), path, limit);
}

std::optional<std::string> read_file_if_there(const fs::path& path, std::uint64_t limit) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd && (errno == ENOENT || errno == ENOTDIR)) return std::nullopt;
  if (!fd) fail_by_errno("open", path);
  return read_all(fd.get(), path, limit);
}

std::optional<std::string> read_proc_file(const fs::path& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return std::nullopt;
  std::string content;
  std::array<char, 4096> buffer{};
  for (;;) {
    const auto got = ::read(fd.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return std::nullopt;
    if (got == 0) return content;
    content.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

std::vector<fs::path> folder_entries(const fs::path& folder) {
  const CHandle<DIR, ::closedir> stream(::opendir(folder.c_str()));
  if (!stream && (errno == ENOENT || errno == ENOTDIR)) return {};
  if (!stream) fail_by_errno("open folder", folder);
  std::vector<fs::path> entries;
  for (;;) {
    errno = 0;
    const auto* const entry = ::readdir(stream.get());
    if (entry == nullptr && errno != 0 && errno != ENOENT) fail_by_errno("read folder", folder);
    if (entry == nullptr) break;
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") entries.push_back(folder / name);
  }
  std::ranges::sort(entries);
  return entries;
}

std::string read_end_of_file(const fs::path& path, std::uint64_t count) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));

  struct stat status {};

  if (!fd || ::fstat(fd.get(), &status) != 0) return {};
  const auto size = static_cast<std::uint64_t>(status.st_size);
  std::string content(std::min(size, count), '\0');
  const auto got =
      ::pread(fd.get(), content.data(), content.size(), static_cast<off_t>(size - content.size()));
  content.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return content;
}

std::size_t read_full(int fd, void* buffer, std::size_t size, const std::string& name) {
  std::size_t done = 0;
  while (done < size) {
    const auto got = ::read(fd, static_cast<char*>(buffer) + done, size - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_by_errno("read", name);
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

void write_full(int fd, const void* data, std::size_t size, const std::string& name) {
  std::size_t done = 0;
  while (done < size) {
    const auto put = ::write(fd, static_cast<const char*>(data) + done, size - done);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) fail_by_errno("write", name);
    done += static_cast<std::size_t>(put);
  }
}

bool is_read_by_nobody(int fd) noexcept {
  pollfd end{fd, 0, 0};
  return ::poll(&end, 1, 0) == 1 && (end.revents & (POLLERR | POLLHUP)) != 0;
}

void write_file(const fs::path& path, std::string_view content, mode_t mode) {
  auto file = TempFile::beside(path);
  write_full(file.fd(), content.data(), content.size(), path.string());
  file.sync_and_rename_to(path, mode);
}

void write_new_file(const fs::path& path, std::string_view content) {
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file) throw Error("make " + path.string() + ": " + errno_text(errno));
  write_full(file.get(), content.data(), content.size(), path.string());
}

std::string look_of(const fs::path& file) {
  struct stat status {};

  if (::stat(file.c_str(), &status) != 0) return {};
  return std::to_string(status.st_size) + " bytes, " + std::to_string(status.st_mtim.tv_sec) + "." +
         std::to_string(status.st_mtim.tv_nsec);
}

std::chrono::seconds age_of(const fs::path& path) {
  struct stat status {};

  if (::stat(path.c_str(), &status) != 0) return std::chrono::seconds(0);
  const auto now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  return std::chrono::seconds(std::max<std::int64_t>(0, now - status.st_mtim.tv_sec));
}

void set_modified_now(const fs::path& path) noexcept {
  static_cast<void>(::utimensat(AT_FDCWD, path.c_str(), nullptr, 0));
}

std::uint64_t free_space(const fs::path& folder) noexcept {
  struct statvfs room {};

  if (::statvfs(folder.c_str(), &room) != 0) return 0;
  return std::uint64_t{room.f_bavail} * room.f_frsize;
}

std::uint64_t size_of(const std::filesystem::path& path) {
  const auto fd = open_to_read(path);
  const auto end = ::lseek(fd.get(), 0, SEEK_END);
  if (end < 0) throw Error("find the size of " + path.string() + ": " + errno_text(errno));
  return static_cast<std::uint64_t>(end);
}

void make_sparse_file(const fs::path& path, std::uint64_t size) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd || ::ftruncate(fd.get(), static_cast<off_t>(size)) != 0) fail_by_errno("make", path);
}

namespace {

/// The folder `name` in `parent` (a path's root, or "." at the start), made if it is missing.
UniqueFd open_or_make(const UniqueFd& parent, const fs::path& name, mode_t mode, const fs::path& whole) {
  constexpr int as_folder = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
  UniqueFd there(::openat(parent.get(), name.c_str(), as_folder));
  if (there || errno != ENOENT) {
    // One that may be passed through, but not read, is no obstacle.
    if (!there) there.reset(::openat(parent.get(), name.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!there) fail_by_errno("make folder", whole);
    return there;
  }
  const bool is_made = ::mkdirat(parent.get(), name.c_str(), 0700) == 0;
  if (!is_made && errno != EEXIST) fail_by_errno("make folder", whole);
  UniqueFd made(::openat(parent.get(), name.c_str(), as_folder | O_NOFOLLOW));
  if (!made) fail_by_errno("make folder", whole);
  if (is_made && ::fchmod(made.get(), mode) != 0) fail_by_errno("set the mode of folder", whole);
  return made;
}

}  // namespace

void make_folders(const fs::path& path, mode_t mode, mode_t above) {
  if (path.empty()) return;
  UniqueFd at(::open(path.is_absolute() ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!at) fail_by_errno("make folder", path);
  std::vector<fs::path> parts;
  for (const auto& part : path.relative_path())
    if (!part.empty()) parts.push_back(part);
  for (std::size_t i = 0; i < parts.size(); ++i)
    at = open_or_make(at, parts[i], i + 1 == parts.size() ? mode : above, path);
}

void append_line(const fs::path& path, const std::string& line) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd) fail_by_errno("write", path);
  const auto text = "\n" + line;
  write_full(fd.get(), text.data(), text.size(), path.string());
}

void set_mode(const fs::path& path, mode_t mode, std::optional<gid_t> group) {
  // Not opened for reading, which no socket can be.
  const UniqueFd fd(::open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));

  struct stat status {};

  if (!fd || ::fstat(fd.get(), &status) != 0) fail_by_errno("open", path);
  if (S_ISLNK(status.st_mode)) errno = ELOOP;
  if (S_ISLNK(status.st_mode)) fail_by_errno("open", path);
  if (group && ::fchownat(fd.get(), "", static_cast<uid_t>(-1), *group, AT_EMPTY_PATH) != 0)
    fail_by_errno("set the group of", path);
  const auto self = "/proc/self/fd/" + std::to_string(fd.get());  // fchmod() takes no such descriptor
  if (::chmod(self.c_str(), mode) != 0) fail_by_errno("set the mode of", path);
}

void remove_if_there(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) throw Error("remove " + path.string() + ": " + errno_text(error.value()));
}

void sync_folder(const fs::path& folder) {
  const UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || ::fsync(fd.get()) != 0) fail_by_errno("sync folder", folder);
}

}  // namespace sarde
