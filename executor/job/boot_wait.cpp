#include "executor/job/boot_wait.hpp"

#include <optional>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "executor/job/phases.hpp"

namespace sarde {

using std::chrono::milliseconds;

namespace {

constexpr milliseconds pause(200);
constexpr milliseconds heartbeat_every(10'000);
constexpr milliseconds look_at_vm_every(1'000);
constexpr milliseconds first_pause_after_refusal(1'000);
constexpr milliseconds longest_pause(10'000);

}  // namespace

void BootWait::repeat(const std::string& what, milliseconds timeout,
                      const std::function<bool(Attempt& attempt)>& work) {
  const auto start = parts_.clock.now();
  const auto deadline = start + timeout;
  auto heartbeat = start + heartbeat_every;
  auto look = start;
  Attempt attempt{.pause = pause};
  const auto& last = attempt.last;
  while (!work(attempt)) {
    const auto now = parts_.clock.now();
    if (now >= look) {
      if (parts_.hypervisor.state(vm_name_) != DomainState::running) {
        throw Error("wait for " + what + " of VM '" + vm_name_ +
                    "': the VM is gone: it has stopped, or was destroyed (last: " + last + ")");
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
    parts_.clock.sleep(std::min(attempt.pause, milliseconds_between(now, deadline)), parts_.cancellation);
  }
}

std::string BootWait::for_address(milliseconds timeout) {
  std::string address;
  repeat("the address", timeout, [&](Attempt& attempt) {
    const auto found = parts_.hypervisor.addresses(vm_name_);
    attempt.last = "no DHCP lease, no answer from a guest agent, no entry in the ARP table";
    if (!found.empty()) address = found.front();
    return !found.empty();
  });
  return address;
}

void BootWait::refuse(const ConnectProblem& problem, const std::string& login) const {
  using Kind = ConnectProblem::Kind;
  if (problem.kind == Kind::host_key_changed) throw Error("connect to VM '" + vm_name_ + "': " + problem.why);
  if (problem.kind == Kind::no_algorithm)
    throw Error(Blame::job,
                "connect to VM '" + vm_name_ + "': its SSH server is too old or too strict, " +
                    quote(problem.why, 600) +
                    "; ssh-algorithms = \"legacy\" in the section for this image admits old ones");
  throw Error(Blame::job,
              "log into VM '" + vm_name_ + "': " + problem.why + (login.empty() ? "" : "; " + login) +
                  "; correct the login in the image's vm config, or in the section for this image in the "
                  "settings");
}

std::unique_ptr<GuestShell> BootWait::for_shell(const Connect& connect, const ForShell& limits) {
  using Kind = ConnectProblem::Kind;
  std::unique_ptr<GuestShell> shell;
  std::optional<TimePoint> refused_since;
  repeat("the SSH server", limits.timeout, [&](Attempt& attempt) {
    auto result = timed(parts_.clock, parts_.reporter, "tried to log in", connect);
    if (auto* connected = std::get_if<std::unique_ptr<GuestShell>>(&result)) {
      shell = std::move(*connected);
      return true;
    }
    const auto& problem = std::get<ConnectProblem>(result);
    attempt.last = problem.why;
    if (problem.kind == Kind::unreachable) return false;
    const auto now = parts_.clock.now();
    if (problem.kind != Kind::login_refused || now - refused_since.value_or(now) >= parts_.login_grace)
      refuse(problem, limits.login);
    attempt.pause = refused_since ? std::min(attempt.pause * 2, longest_pause) : first_pause_after_refusal;
    if (!refused_since) refused_since = now;
    return false;
  });
  return shell;
}

}  // namespace sarde
