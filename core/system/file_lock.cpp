#include "core/system/file_lock.hpp"

#include <cerrno>
#include <fcntl.h>
#include <sys/file.h>

#include "core/foundation/error.hpp"
#include "core/system/files.hpp"

namespace sarde {

namespace {

/// Nothing if somebody else has it.
std::optional<UniqueFd> locked(UniqueFd fd, const std::string& path) {
  if (!fd) throw Error("open lock file " + path + ": " + errno_text(errno));
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) == 0) return fd;
  if (errno != EWOULDBLOCK && errno != EINTR) throw Error("lock " + path + ": " + errno_text(errno));
  return std::nullopt;
}

std::optional<UniqueFd> lock_file(const std::filesystem::path& path) {
  return locked(UniqueFd(::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600)),
                path.string());
}

std::optional<UniqueFd> lock_folder(const std::filesystem::path& path) {
  return locked(UniqueFd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)), path.string());
}

/// Tries until it has the lock.
template <typename Try>
UniqueFd wait_until_locked(const std::filesystem::path& path, const FileLock::Waiting& waiting, Try attempt) {
  constexpr std::chrono::milliseconds pause(50);
  bool announced = false;
  for (;;) {
    if (auto fd = attempt(path)) return std::move(*fd);
    if (waiting.clock.now() >= waiting.deadline) {
      throw Error("lock " + path.string() + ": another process still holds it (fuser -v " + path.string() +
                  " names it)");
    }
    if (!announced && waiting.announce) waiting.announce();
    announced = true;
    waiting.clock.sleep(pause, waiting.cancellation);
  }
}

}  // namespace

std::optional<FileLock> FileLock::try_for(const std::filesystem::path& path) {
  auto fd = lock_file(path);
  if (!fd) return std::nullopt;
  return FileLock(std::move(*fd));
}

bool FileLock::is_held(const std::filesystem::path& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC));
  return fd && ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

FileLock FileLock::wait_for(const std::filesystem::path& path, const Waiting& waiting) {
  return FileLock(wait_until_locked(path, waiting, lock_file));
}

FileLock FileLock::on_folder(const std::filesystem::path& folder, const Waiting& waiting) {
  return FileLock(wait_until_locked(folder, waiting, lock_folder));
}

}  // namespace sarde
