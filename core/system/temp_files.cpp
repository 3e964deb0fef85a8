#include "core/system/temp_files.hpp"

#include <cstdlib>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>

#include "core/foundation/error.hpp"
#include "core/system/files.hpp"

namespace sarde {

namespace fs = std::filesystem;

UniqueFd claim_abandoned(const fs::path& temporary) {
  UniqueFd fd(::open(temporary.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd && ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) fd.reset();
  return fd;
}

namespace {

/// Locks what was just made, as its maker. False if somebody has taken it for abandoned in between, and away.
bool lock_as_maker(const UniqueFd& made, const fs::path& path) {
  struct stat ours {};

  struct stat there {};

  return ::flock(made.get(), LOCK_EX) == 0 && ::fstat(made.get(), &ours) == 0 &&
         ::stat(path.c_str(), &there) == 0 && ours.st_ino == there.st_ino;
}

constexpr int most_tries = 10;

}  // namespace

TempFile TempFile::beside(const fs::path& target) {
  for (int tries = 0; tries < most_tries; ++tries) {
    auto path = (target.parent_path() / ("." + target.filename().string() + ".XXXXXX")).string();
    UniqueFd fd(::mkostemp(path.data(), O_CLOEXEC));
    if (!fd) fail_by_errno("make a temporary file beside", target);
    if (lock_as_maker(fd, path)) return {std::move(fd), path};
  }
  throw Error("make a temporary file beside " + target.string() + ": somebody removes each at once");
}

TempFile::TempFile(TempFile&& other) noexcept
    : fd_(std::move(other.fd_)), path_(std::exchange(other.path_, fs::path())) {}

TempFile& TempFile::operator=(TempFile&& other) noexcept {
  std::swap(fd_, other.fd_);
  path_.swap(other.path_);
  return *this;
}

TempFile::~TempFile() {
  if (!path_.empty()) ::unlink(path_.c_str());
}

void TempFile::sync(mode_t mode) {
  if (::fchmod(fd_.get(), mode) != 0 || ::fsync(fd_.get()) != 0) fail_by_errno("write", path_);
}

void TempFile::rename_to(const fs::path& target) {
  if (::rename(path_.c_str(), target.c_str()) != 0) fail_by_errno("rename to", target);
  path_.clear();
}

void TempFile::sync_and_rename_to(const fs::path& target, mode_t mode) {
  sync(mode);
  rename_to(target);
  sync_folder(target.parent_path());
}

TempFolder TempFolder::in(const fs::path& parent, const std::string& prefix, mode_t mode) {
  for (int tries = 0; tries < most_tries; ++tries) {
    auto path = (parent / (prefix + "XXXXXX")).string();
    if (::mkdtemp(path.data()) == nullptr) fail_by_errno("make a temporary folder in", parent);
    TempFolder folder{fs::path(path)};
    folder.lock_.reset(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folder.lock_ || !lock_as_maker(folder.lock_, path)) continue;
    if (::chmod(path.c_str(), mode) != 0) fail_by_errno("set the mode of", path);
    return folder;
  }
  throw Error("make a temporary folder in " + parent.string() + ": somebody removes each at once");
}

TempFolder::TempFolder(TempFolder&& other) noexcept
    : path_(std::exchange(other.path_, fs::path())), lock_(std::move(other.lock_)) {}

TempFolder& TempFolder::operator=(TempFolder&& other) noexcept {
  path_.swap(other.path_);
  std::swap(lock_, other.lock_);
  return *this;
}

TempFolder::~TempFolder() {
  std::error_code ignored;
  if (!path_.empty()) fs::remove_all(path_, ignored);
}

void TempFolder::rename_to(const fs::path& target, bool sync) {
  if (sync) sync_folder(path_);
  if (::rename(path_.c_str(), target.c_str()) != 0) fail_by_errno("rename to", target);
  path_.clear();
  lock_.reset();
  if (sync) sync_folder(target.parent_path());
}

}  // namespace sarde
