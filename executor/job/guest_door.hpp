#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "core/foundation/reporter.hpp"
#include "core/foundation/source.hpp"
#include "core/guest/ssh_guest_shell.hpp"
#include "core/job/job_record.hpp"
#include "core/system/clock.hpp"
#include "core/vm/hypervisor.hpp"
#include "executor/job/guest_login.hpp"
#include "executor/job/vm_starter.hpp"

namespace sarde {

/// Makes one attempt to connect to a guest's SSH server and log in. Outside tests this is connect_ssh().
using ConnectGuest = std::function<ConnectResult(const SshTarget& target, const ConnectLimits& limits)>;

/// A guest's address, and a shell in it.
struct OpenDoor {
  std::string address;
  std::uint16_t port = 0;
  std::unique_ptr<GuestShell> shell;
};

/// The one place that waits for a guest: for its address, its SSH server and its login.
class GuestDoor {
 public:
  struct Parts {
    std::chrono::milliseconds address_timeout{};
    std::chrono::milliseconds boot_timeout{};
    std::chrono::milliseconds login_grace{};
    Source<Hypervisor> hypervisor;
    ConnectGuest connect;
    Clock& clock;
    Cancellation& cancellation;
    Reporter& reporter;
  };

  explicit GuestDoor(Parts parts) : parts_(std::move(parts)) {}

  /// Waits until a VM that has just been started accepts the login, up to `boot_timeout`. If the VM has a
  /// filter, restricts the VM to its address. `watch` is called about once a second and may throw to end the
  /// wait. Throws Error: the job's fault if the guest refuses the login, otherwise the host's.
  OpenDoor open(const StartedVm& started, const GuestLogin& login, const std::function<void()>& watch);

  /// How long a VM that need not boot is waited for, and what it must be known by.
  struct AgainLimits {
    std::chrono::milliseconds timeout{};
    std::optional<std::string> host_key = {};  ///< nothing: any
    std::function<void()> watch = {};
  };

  /// The same for such a VM.
  OpenDoor open_again(const StartedVm& started, const GuestLogin& login, const AgainLimits& limits);

  /// Warns if the guest lets everybody in.
  void warn_of_open_login(const OpenDoor& door, const GuestLogin& login);

  /// Connects to the guest of a prepared job. A guest that is busy or boots again is waited for, up to
  /// `boot_timeout`. Throws Error, the host's fault; within seconds if the VM is gone.
  std::unique_ptr<GuestShell> reopen(const std::string& vm_name, const JobRecord& record);

 private:
  std::unique_ptr<GuestShell> log_in(const OpenDoor& door, const StartedVm& started, const GuestLogin& login,
                                     const AgainLimits& limits);
  OpenDoor find(const StartedVm& started, const GuestLogin& login, const std::function<void()>& watch);
  void hold_to_address(const JobVm& vm, const std::string& address);

  Parts parts_;
};

}  // namespace sarde
