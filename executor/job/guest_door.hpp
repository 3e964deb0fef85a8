#pragma once

#include <chrono>
#include <functional>
#include <memory>
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

/// Connects to a guest's SSH server and logs in, once: connect_ssh(), but for tests.
using ConnectGuest = std::function<ConnectResult(const SshTarget& target, const ConnectLimits& limits)>;

/// An open door: where the guest is, and the shell in it.
struct OpenDoor {
  std::string address;
  std::uint16_t port = 0;
  std::unique_ptr<GuestShell> shell;
};

/// The one place that waits for a guest: for its address, its SSH server, its login.
class GuestDoor {
 public:
  struct Parts {
    std::chrono::milliseconds address_timeout{};
    std::chrono::milliseconds boot_timeout{};
    Source<Hypervisor> hypervisor;
    ConnectGuest connect;
    Clock& clock;
    Cancellation& cancellation;
    Reporter& reporter;
  };

  explicit GuestDoor(Parts parts) : parts_(std::move(parts)) {}

  /// Waits until a VM that has just been started lets the login in, and holds it to its address where it has
  /// a filter. `watch` is called about once a second and may throw what ends the wait. Throws Error, the
  /// job's fault, if the guest refuses the login; else the host's.
  OpenDoor open(const StartedVm& started, const GuestLogin& login, const std::function<void()>& watch);

  /// Connects to the guest of a job that is prepared. Throws Error, the host's fault, within seconds if the
  /// VM is gone, and after some more if its SSH server does not answer.
  std::unique_ptr<GuestShell> reopen(const std::string& vm_name, const JobRecord& record);

 private:
  OpenDoor find(const StartedVm& started, const GuestLogin& login, const std::function<void()>& watch);
  void hold_to_address(const JobVm& vm, const std::string& address);

  Parts parts_;
};

}  // namespace sarde
