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
    std::chrono::milliseconds login_grace{};  ///< how long a refused login is tried again
    std::function<void()> watch = {};         ///< called about once a second; may throw to end the wait
  };

  struct ForShell {
    std::chrono::milliseconds timeout{};
    std::string login = {};  ///< where the login comes from, to be said when it is refused
  };

  BootWait(std::string vm_name, Parts parts) : vm_name_(std::move(vm_name)), parts_(std::move(parts)) {}

  /// The first address that the VM gets.
  std::string for_address(std::chrono::milliseconds timeout);

  /// A login shell. A refused login is tried again for a while, because a guest may create its users only
  /// after it has started its SSH server; the pauses grow, because servers shut out who fails too often
  /// (sshd_config(5), PerSourcePenalties). After that, or if the two sides have no algorithm in common, it is
  /// the job's failure, because another try would not help. A changed host key is the host's.
  std::unique_ptr<GuestShell> for_shell(const Connect& connect, const ForShell& limits);

 private:
  struct Attempt {
    std::string last = "nothing yet";  ///< what the last attempt has found out
    std::chrono::milliseconds pause;   ///< before the next
  };

  void repeat(const std::string& what, std::chrono::milliseconds timeout,
              const std::function<bool(Attempt& attempt)>& work);
  void refuse(const ConnectProblem& problem, const std::string& login) const;

  std::string vm_name_;
  Parts parts_;
};

}  // namespace sarde
