#include "core/vm/account_passage.hpp"

#include <algorithm>
#include <cerrno>
#include <grp.h>
#include <optional>
#include <pwd.h>
#include <string>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <vector>

#include "core/foundation/error.hpp"
#include "core/system/files.hpp"

namespace sarde {

namespace fs = std::filesystem;

namespace {

/// / first; only what exists, as its real path.
std::vector<std::string> folders_above(const fs::path& folder) {
  std::vector<std::string> above;
  const auto real = fs::weakly_canonical(folder);
  for (auto at = real.parent_path();; at = at.parent_path()) {
    std::error_code ignored;
    if (fs::exists(at, ignored)) above.insert(above.begin(), at.string());
    if (at == at.parent_path()) return above;
  }
}

std::vector<gid_t> groups_of(const std::string& name, gid_t primary) {
  int count = 64;
  std::vector<gid_t> groups(static_cast<std::size_t>(count));
  if (name.empty() || ::getgrouplist(name.c_str(), primary, groups.data(), &count) < 0) return {primary};
  groups.resize(static_cast<std::size_t>(count));
  return groups;
}

std::string name_of(uid_t uid) {
  const auto* entry = ::getpwuid(uid);
  return entry == nullptr ? "" : entry->pw_name;
}

/// The number of the first folder that the account cannot enter, or their count. Runs in a child process:
/// only system calls.
int tried_as(const QemuAccount& account, const std::vector<gid_t>& groups,
             const std::vector<std::string>& folders) {
  const auto pid = ::fork();
  if (pid < 0) throw Error("start a process: " + errno_text(errno));
  if (pid == 0) {
    if (::setgroups(groups.size(), groups.data()) != 0 ||
        ::setresgid(account.gid, account.gid, account.gid) != 0 ||
        ::setresuid(account.uid, account.uid, account.uid) != 0)
      ::_exit(255);
    int number = 0;
    for (const auto& folder : folders) {
      if (::access(folder.c_str(), X_OK) != 0) break;
      ++number;
    }
    ::_exit(number);
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  const int number = WIFEXITED(status) ? WEXITSTATUS(status) : 255;
  return number == 255 ? static_cast<int>(folders.size()) : number;
}

bool may_enter(const std::string& folder, const QemuAccount& account, const std::vector<gid_t>& groups) {
  struct stat status {};

  if (account.uid == 0 || ::stat(folder.c_str(), &status) != 0) return true;
  // An access list may allow what the mode does not; only as root could one try.
  if (::getxattr(folder.c_str(), "system.posix_acl_access", nullptr, 0) > 0) return true;
  if (status.st_uid == account.uid) return (status.st_mode & S_IXUSR) != 0;
  if (std::ranges::find(groups, status.st_gid) != groups.end()) return (status.st_mode & S_IXGRP) != 0;
  return (status.st_mode & S_IXOTH) != 0;
}

/// The first folder above this one that the account cannot enter; nothing if it can enter all.
std::optional<fs::path> barring_folder(const fs::path& folder, const QemuAccount& account) {
  if (account.uid == ::geteuid()) return std::nullopt;
  const auto above = folders_above(folder);
  const auto groups = groups_of(name_of(account.uid), account.gid);
  if (::geteuid() == 0) {
    const auto number = static_cast<std::size_t>(tried_as(account, groups, above));
    return number >= above.size() ? std::nullopt : std::optional<fs::path>(above[number]);
  }
  const auto barring =
      std::ranges::find_if(above, [&](const auto& one) { return !may_enter(one, account, groups); });
  return barring == above.end() ? std::nullopt : std::optional<fs::path>(*barring);
}

}  // namespace

void require_passage(const fs::path& folder, const char* setting, const QemuAccount& account) {
  const auto barring = barring_folder(folder, account);
  if (!barring) return;
  auto name = name_of(account.uid);
  if (name.empty()) name = std::to_string(account.uid);
  throw Error(std::string(setting) + " is " + folder.string() + ", but QEMU's account, " + name +
              ", cannot enter " + barring->string() +
              ": choose another folder, or type 'setfacl -m u:" + name + ":x " + barring->string() + "'");
}

}  // namespace sarde
