#include "core/system/file_lock.hpp"

#include <cerrno>
#include <fcntl.h>
#include <sys/file.h>

#include "core/foundation/error.hpp"
#include "core/system/files.hpp"

namespace sarde {

std::optional<FileLock> FileLock::try_for(const std::filesystem::path& path) {
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd) throw Error("open lock file " + path.string() + ": " + errno_text(errno));
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) == 0) return FileLock(std::move(fd));
  if (errno != EWOULDBLOCK && errno != EINTR) throw Error("lock " + path.string() + ": " + errno_text(errno));
  return std::nullopt;
}

FileLock FileLock::wait_for(const std::filesystem::path& path, const Waiting& waiting) {
  constexpr std::chrono::milliseconds pause(50);
  bool announced = false;
  for (;;) {
    if (auto lock = try_for(path)) return std::move(*lock);
    if (waiting.clock.now() >= waiting.deadline) {
      throw Error("lock " + path.string() + ": another process still holds it (fuser -v " + path.string() +
                  " names it)");
    }
    if (!announced && waiting.announce) waiting.announce();
    announced = true;
    waiting.clock.sleep(pause, waiting.cancellation);
  }
}

}  // namespace sarde
