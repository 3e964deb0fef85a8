#include "core/vm/qemu_account.hpp"

#include <cerrno>
#include <sys/stat.h>
#include <unistd.h>

#include "core/foundation/error.hpp"
#include "core/system/files.hpp"

namespace sarde {

namespace {

constexpr gid_t nogroup = 65534;

/// root's own group would open more than QEMU needs; a QEMU that runs as root needs none.
gid_t group_of(const std::optional<QemuAccount>& account) {
  if (::geteuid() != 0) return account ? account->gid : ::getegid();
  return account && account->gid != 0 ? account->gid : nogroup;
}

}  // namespace

QemuAccess::QemuAccess(const std::optional<QemuAccount>& account)
    : account_(account),
      is_needed_(account && (account->uid != ::geteuid() || ::geteuid() == 0)),
      group_(group_of(account)) {}

void QemuAccess::allow(const std::filesystem::path& path, mode_t by_group, mode_t by_all) const {
  if (!is_needed_) return;
  try {
    set_mode(path, by_group, group_);
  } catch (const Error&) {
    if (::geteuid() == 0) throw;
    set_mode(path, by_all);
  }
}

/// Can it already, by its group or as anybody? Then the folder stays as somebody has set it up.
bool QemuAccess::may_enter(const std::filesystem::path& folder) const {
  struct stat status {};

  if (::stat(folder.c_str(), &status) != 0) return false;
  const bool as_anybody = (status.st_mode & S_IXOTH) != 0;
  return as_anybody || (status.st_gid == group_ && (status.st_mode & S_IXGRP) != 0);
}

void QemuAccess::enter(const std::filesystem::path& folder) const {
  if (may_enter(folder)) return;
  allow(folder, 0750, 0711);
}

void QemuAccess::own(const std::filesystem::path& file) const {
  if (!is_needed_ || ::geteuid() != 0) return;  // libvirt gives it to QEMU, which only root could do here
  if (::lchown(file.c_str(), account_->uid, account_->gid) != 0)
    throw Error("give " + file.string() + " to QEMU: " + errno_text(errno));
}

void QemuAccess::share(const std::filesystem::path& folder) const {
  allow(folder, 0770, 0777);
}

void QemuAccess::read_growing(const std::filesystem::path& file) const {
  allow(file, 0640, 0644);
}

void QemuAccess::connect(const std::filesystem::path& socket) const {
  allow(socket, 0660, 0666);
}

void QemuAccess::read(const std::filesystem::path& file) const {
  allow(file, 0440, 0444);
}

}  // namespace sarde
