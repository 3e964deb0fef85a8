#include "executor/job/boot_wait.hpp"

#include <optional>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"

namespace sarde {

using std::chrono::milliseconds;

namespace {

constexpr milliseconds pause(200);
constexpr milliseconds heartbeat_every(10'000);
constexpr milliseconds look_at_vm_every(1'000);
constexpr milliseconds login_grace(10'000);

}  // namespace

void BootWait::repeat(const std::string& what, milliseconds timeout,
                      const std::function<bool(std::string& last)>& attempt) {
  const auto start = parts_.clock.now();
  const auto deadline = start + timeout;
  auto heartbeat = start + heartbeat_every;
  auto look = start;
  std::string last = "nothing yet";
  while (!attempt(last)) {
    const auto now = parts_.clock.now();
    if (now >= look) {
      if (parts_.hypervisor.state(vm_name_) != DomainState::running) {
        throw Error("wait for " + what + " of VM '" + vm_name_ + "': the VM has stopped (last: " + last +
                    ")");
      }
      if (parts_.watch) parts_.watch();
      look = now + look_at_vm_every;
    }
    if (now >= deadline) {
      throw Error("wait for " + what + " of VM '" + vm_name_ + "': not available within " +
                  duration_text(timeout) + " (last: " + last + ")");
    }
    if (now >= heartbeat) {
      parts_.reporter.say("  still waiting for " + what + " (" +
                          duration_text(milliseconds_between(start, now)) + "; last: " + last + ")");
      heartbeat = now + heartbeat_every;
    }
    parts_.clock.sleep(std::min(pause, milliseconds_between(now, deadline)), parts_.cancellation);
  }
}

std::string BootWait::for_address(milliseconds timeout) {
  std::string address;
  repeat("the address", timeout, [&](std::string& last) {
    const auto found = parts_.hypervisor.addresses(vm_name_);
    last = "no DHCP lease, no answer from a guest agent, no entry in the ARP table";
    if (!found.empty()) address = found.front();
    return !found.empty();
  });
  return address;
}

std::unique_ptr<GuestShell> BootWait::for_shell(const Connect& connect, milliseconds timeout) {
  std::unique_ptr<GuestShell> shell;
  std::optional<TimePoint> refused_since;
  repeat("the SSH server", timeout, [&](std::string& last) {
    auto result = connect();
    if (auto* connected = std::get_if<std::unique_ptr<GuestShell>>(&result)) {
      shell = std::move(*connected);
      return true;
    }
    const auto& problem = std::get<ConnectProblem>(result);
    last = problem.why;
    if (problem.kind != ConnectProblem::Kind::login_refused) return false;
    const auto now = parts_.clock.now();
    if (!refused_since) refused_since = now;
    if (now - *refused_since < login_grace) return false;
    throw Error(
        Blame::job,
        "log into VM '" + vm_name_ + "': " + problem.why +
            "; correct the login in the image's vm config, or in the section for this image in the settings");
  });
  return shell;
}

}  // namespace sarde
