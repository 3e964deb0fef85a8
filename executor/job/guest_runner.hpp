#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/foundation/reporter.hpp"
#include "core/guest/guest_shell.hpp"
#include "core/system/clock.hpp"
#include "core/vm/job_vm.hpp"

namespace sarde {

/// gitlab-runner in the guest. The runner's own scripts call it for artifacts and caches; without it, they
/// skip these, and the job succeeds all the same.
///
/// The binary reaches the guest on a small read-only disk, an ext4 file system that is made once for each
/// version and kept in `cache`. A login user who may not mount it gets the binary through the SSH connection.
class GuestRunners {
 public:
  struct Rules {
    /// auto: this host's gitlab-runner; none; or a binary, or a folder of binaries that are named as GitLab
    /// names its downloads (gitlab-runner-linux-amd64).
    std::string wanted = "none";
    std::filesystem::path of_host = {};   ///< for `auto`; empty: there is none
    std::filesystem::path cache = {};     ///< a folder in which QEMU can read
    std::string shell = {};               ///< the job's
    std::chrono::milliseconds timeout{};  ///< for the guest's answers
  };

  struct Parts {
    Rules rules;
    std::vector<std::pair<std::string, std::string>> environment;  ///< of the programs that are run
    Clock& clock;
    Cancellation& cancellation;
    Reporter& reporter;
  };

  explicit GuestRunners(Parts parts) : parts_(std::move(parts)) {}

  /// The disk with the binary for a guest of this architecture (libvirt's name), made now unless it is there.
  /// Nothing if no binary is wanted or fits; why is told by put_in(). Throws Error if a setting names what is
  /// not there.
  std::optional<OwnDisk> disk_for(const std::string& architecture);

  /// Unless the guest has gitlab-runner, puts the binary of disk_for() into it. Returns the folder in the
  /// guest to which the job's PATH has to be extended; empty if it need not be. Warns if artifacts and caches
  /// will not work. Throws Error if the guest is lost, Cancelled.
  std::string put_in(GuestShell& guest, const std::function<void()>& watch);

 private:
  void make_disk(const std::filesystem::path& disk, std::uint64_t size);
  [[nodiscard]] std::filesystem::path binary_for(const std::string& architecture);
  [[nodiscard]] std::string ask(GuestShell& guest, const std::string& shell, const std::string& script,
                                const std::function<void()>& watch);
  void warn_of_none();
  [[nodiscard]] std::string send(GuestShell& guest, const std::function<void()>& watch);

  Parts parts_;
  std::filesystem::path binary_ = {};  ///< that fits; empty: none
  std::string why_not_ = {};           ///< a sentence, where none fits
};

/// Where this host's gitlab-runner is: the program of this process, if it is called so; otherwise the first
/// in `path` (PATH). Empty if there is none.
std::filesystem::path runner_of_host(pid_t starter, const std::string& path);

}  // namespace sarde
