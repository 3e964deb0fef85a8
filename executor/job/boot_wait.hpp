#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "core/foundation/reporter.hpp"
#include "core/guest/ssh_guest_shell.hpp"
#include "core/system/clock.hpp"
#include "core/vm/hypervisor.hpp"

namespace sarde {

/// Waits for a VM that is starting. Each wait reports every ten seconds that it is still waiting. It ends
/// with an Error when its time limit is reached, or as soon as the VM has stopped.
class BootWait {
 public:
  /// One attempt to log in.
  using Connect = std::function<ConnectResult()>;

  struct Parts {
    Hypervisor& hypervisor;
    Clock& clock;
    Cancellation& cancellation;
    Reporter& reporter;
    std::function<void()> watch = {};  ///< called about once a second; may throw to end the wait
  };

  BootWait(std::string vm_name, Parts parts) : vm_name_(std::move(vm_name)), parts_(std::move(parts)) {}

  /// The first address that the VM gets.
  std::string for_address(std::chrono::milliseconds timeout);

  /// A login shell. A refused login is tried again for some seconds, because a guest may create its users
  /// only after it has started its SSH server. After that it is the job's failure, because another try would
  /// not help.
  std::unique_ptr<GuestShell> for_shell(const Connect& connect, std::chrono::milliseconds timeout);

 private:
  void repeat(const std::string& what, std::chrono::milliseconds timeout,
              const std::function<bool(std::string& last)>& attempt);

  std::string vm_name_;
  Parts parts_;
};

}  // namespace sarde
