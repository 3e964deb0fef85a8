#pragma once

#include <filesystem>
#include <optional>
#include <sys/types.h>

namespace sarde {

/// Who QEMU runs as.
struct QemuAccount {
  uid_t uid = 0;
  gid_t gid = 0;
};

/// Lets QEMU, and nobody else, read what is this program's: folders and files that it needs get its group,
/// for without it they are open to our own account only. Where QEMU runs as our own account nothing changes.
/// Where we may not choose the group (an ordinary user with a system's libvirt) files and folders are opened
/// to all, for then there is no other way.
class QemuAccess {
 public:
  /// `account`: nothing where QEMU runs elsewhere, or cannot be told.
  explicit QemuAccess(const std::optional<QemuAccount>& account);

  /// QEMU may go through the folder (mode 0750, unless it may already).
  void enter(const std::filesystem::path& folder) const;

  /// QEMU may read the file. It is not ours to write to any more.
  void read(const std::filesystem::path& file) const;

  /// The file is the VM's own: QEMU may write to it.
  void own(const std::filesystem::path& file) const;

  /// The group that these get.
  [[nodiscard]] gid_t group() const { return group_; }

 private:
  [[nodiscard]] bool may_enter(const std::filesystem::path& folder) const;
  void allow(const std::filesystem::path& path, mode_t by_group, mode_t by_all) const;

  std::optional<QemuAccount> account_;
  bool is_needed_ = false;
  gid_t group_;
};

}  // namespace sarde
