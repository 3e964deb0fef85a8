#include "executor/job/guest_door.hpp"

#include <algorithm>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "executor/job/boot_wait.hpp"
#include "executor/job/kept_door.hpp"
#include "executor/job/phases.hpp"

namespace sarde {

using std::chrono::milliseconds;

namespace {

constexpr milliseconds longest_patience(10'000);  ///< for the first bytes of an SSH server

BootWait wait_for(const std::string& vm_name, const GuestDoor::Parts& parts,
                  const std::function<void()>& watch) {
  return {vm_name,
          {.hypervisor = parts.hypervisor(),
           .clock = parts.clock,
           .cancellation = parts.cancellation,
           .reporter = parts.reporter,
           .login_grace = parts.login_grace,
           .watch = watch}};
}

}  // namespace

OpenDoor GuestDoor::open(const StartedVm& started, const GuestLogin& login,
                         const std::function<void()>& watch) {
  auto door = [&] {
    const Phase phase(parts_.clock, parts_.reporter);
    auto found = find(started, login, watch);
    phase.done("The VM's SSH server is expected at " + found.address + " port " + std::to_string(found.port));
    return found;
  }();
  const Phase phase(parts_.clock, parts_.reporter);
  door.shell = log_in(door, started, login, {.timeout = parts_.boot_timeout, .watch = watch});
  phase.done("The VM has booted, and user '" + login.username + "' is logged in");
  return door;
}

OpenDoor GuestDoor::open_again(const StartedVm& started, const GuestLogin& login, const AgainLimits& limits) {
  auto door = find(started, login, limits.watch);
  door.shell = log_in(door, started, login, limits);
  return door;
}

void GuestDoor::warn_of_open_login(const OpenDoor& door, const GuestLogin& login) {
  if (door.shell->is_open_to_all())
    parts_.reporter.warn("WARNING: the guest's SSH server lets user " + quote(login.username) +
                         " in without a password or key");
}

std::unique_ptr<GuestShell> GuestDoor::log_in(const OpenDoor& door, const StartedVm& started,
                                              const GuestLogin& login, const AgainLimits& limits) {
  const auto start = parts_.clock.now();
  const SshTarget target{.address = door.address,
                         .port = door.port,
                         .username = login.username,
                         .password = login.password,
                         .identity_file = login.identity_file,
                         .use_agent = login.use_agent,
                         .known_host_key = limits.host_key,
                         .algorithms = login.algorithms};
  // On an overloaded host, even a guest that has booted takes long to answer. The longer the wait so far, the
  // longer each attempt may take.
  const auto connect = [&] {
    const auto waited = milliseconds_between(start, parts_.clock.now());
    const auto patience = std::clamp(waited / 10, ConnectLimits{}.until_banner, longest_patience);
    return parts_.connect(target, {.until_banner = patience});
  };
  return wait_for(started.vm.name.text(), parts_, limits.watch)
      .for_shell(connect, {.timeout = limits.timeout, .login = login.origin});
}

/// Finds out where the VM's SSH server is; it need not answer yet.
OpenDoor GuestDoor::find(const StartedVm& started, const GuestLogin& login,
                         const std::function<void()>& watch) {
  OpenDoor door{.address = "127.0.0.1", .port = login.port, .shell = {}};
  const auto& [vm, network] = started;
  if (network.passt) {
    door.port = network.passt->port;
  } else if (network.is_user) {
    door.port = parts_.hypervisor().forward_port(vm.name.text(), login.port);
  } else {
    door.address = wait_for(vm.name.text(), parts_, watch).for_address(parts_.address_timeout);
    hold_to_address(vm, door.address);
  }
  return door;
}

void GuestDoor::hold_to_address(const JobVm& vm, const std::string& address) {
  if (!vm.filter || address.find(':') != std::string::npos) return;
  // This has to succeed, because until then the filter lets the VM do nothing but request an address.
  within("restrict the VM to its address " + address,
         [&] { parts_.hypervisor().hold_to_address(vm, address); });
}

std::unique_ptr<GuestShell> GuestDoor::reopen(const std::string& vm_name, const JobRecord& record) {
  const auto target = target_of(record);
  // The first attempt is short, because the first question is whether the VM still exists. After that, few
  // patient connections are better for a busy guest than many short ones.
  milliseconds patience(800);
  const auto connect = [&] {
    auto result = parts_.connect(target, {.until_banner = patience});
    patience = std::min(patience * 3, longest_patience);
    return result;
  };
  return wait_for(vm_name, parts_, {}).for_shell(connect, {.timeout = parts_.boot_timeout});
}

}  // namespace sarde
