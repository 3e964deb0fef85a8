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

/// Gives QEMU, and no other account, access to this program's files. Folders and files that QEMU needs get
/// QEMU's group, because otherwise only the program's own account can access them. Nothing changes if QEMU
/// runs as that account. If the program may not set the group (an ordinary user with the system's libvirt),
/// files and folders are opened to all accounts, because there is no other way.
class QemuAccess {
 public:
  /// `account`: nothing if QEMU runs on another machine, or if its account cannot be determined.
  explicit QemuAccess(const std::optional<QemuAccount>& account);

  /// Lets QEMU pass through the folder (mode 0750, unless it can already).
  void enter(const std::filesystem::path& folder) const;

  /// Lets QEMU read the file, which becomes read-only for this program as well.
  void read(const std::filesystem::path& file) const;

  /// The same for a file that this program still writes to.
  void read_growing(const std::filesystem::path& file) const;

  /// Lets QEMU connect to the socket.
  void connect(const std::filesystem::path& socket) const;

  /// Lets QEMU write to the file, which belongs to one VM.
  void own(const std::filesystem::path& file) const;

  /// Lets QEMU do everything in the folder, which belongs to jobs.
  void share(const std::filesystem::path& folder) const;

  /// The group that the files get.
  [[nodiscard]] gid_t group() const { return group_; }

 private:
  [[nodiscard]] bool may_enter(const std::filesystem::path& folder) const;
  void allow(const std::filesystem::path& path, mode_t by_group, mode_t by_all) const;

  std::optional<QemuAccount> account_;
  bool is_needed_ = false;
  gid_t group_;
};

}  // namespace sarde
