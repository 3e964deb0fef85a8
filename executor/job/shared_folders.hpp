#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "core/foundation/reporter.hpp"
#include "core/guest/guest_shell.hpp"
#include "core/job/job.hpp"
#include "core/vm/job_vm.hpp"
#include "core/vm/qemu_account.hpp"

namespace sarde {

/// A folder of the host, and where a guest has it.
struct FolderMount {
  SharedFolder shared;
  std::string place;         ///< in the guest: an absolute path
  bool is_the_jobs = false;  ///< the login user owns it
};

/// The administrator's settings for folders of the host in jobs' VMs.
struct MountRules {
  std::vector<std::string> mounts = {};  ///< HOST:GUEST or HOST:GUEST:ro
  std::filesystem::path builds_dir =
      {};  ///< on the host; a project has a folder of its own in it. Empty: none
  std::filesystem::path cache_dir = {};
  std::string guest_builds_dir = {};
  std::string guest_cache_dir = {};
  bool all_projects = false;  ///< they share builds_dir and cache_dir
  ShareType type = ShareType::p9;
  std::filesystem::path read_only_server = {};  ///< serves a folder read-only over virtiofs
};

/// What the job's VM gets. Makes the folders of its project. Throws Error, the host's fault, for a mount that
/// cannot be.
std::vector<FolderMount> mounts_of(const Job& job, const MountRules& rules, Reporter& reporter);

/// Gives QEMU access to the folders of the job's own; those of the administrator's stay as they are. Throws
/// Error with what to do.
void let_qemu_share(const QemuAccess& access, const std::vector<FolderMount>& mounts);

/// Mounts them in the guest. Throws Error, the host's fault, unless all are there by the deadline; Cancelled.
void mount_in_guest(GuestShell& guest, const std::vector<FolderMount>& mounts,
                    const std::function<void()>& watch, TimePoint deadline, Cancellation& cancellation);

}  // namespace sarde
