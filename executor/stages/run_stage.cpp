#include "executor/stages/run_stage.hpp"

#include <memory>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/guest/ssh_guest_shell.hpp"
#include "core/system/files.hpp"
#include "executor/job/disk_watch.hpp"

namespace sarde {

using std::chrono::milliseconds;

namespace {

constexpr std::uint64_t largest_script = 256U << 20U;
constexpr milliseconds connect_deadline(15'000);
constexpr milliseconds pause(100);

}  // namespace

/// The connection may be lost some moments before libvirt has noticed that QEMU ended. What ended the script
/// is told, whatever becomes of this question.
bool RunStage::vm_is_gone() noexcept {
  constexpr milliseconds patience(2'000);
  try {
    const auto deadline = parts_.clock.now() + patience;
    while (parts_.hypervisor().state(resources_.name().text()) == DomainState::running) {
      if (parts_.clock.now() >= deadline) return false;
      parts_.clock.sleep(pause, parts_.cancellation);
    }
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

std::unique_ptr<GuestShell> RunStage::connect(const JobRecord& record) {
  const SshTarget target{.address = record.address,
                         .port = record.port,
                         .username = record.username,
                         .password = record.password,
                         .identity_file = record.identity_file,
                         .known_host_key = record.host_key};
  const auto doing = "connect to VM '" + resources_.name().text() + "': ";
  const auto deadline = parts_.clock.now() + connect_deadline;
  for (;;) {
    // Short, for the first thing to find out is whether the VM is still there at all.
    auto result = connect_ssh(target, {.until_banner = milliseconds(800)}, parts_.clock, parts_.cancellation);
    if (auto* shell = std::get_if<std::unique_ptr<GuestShell>>(&result)) return std::move(*shell);
    const auto& problem = std::get<ConnectProblem>(result);
    if (parts_.hypervisor().state(resources_.name().text()) != DomainState::running)
      throw Error(doing + "the VM is gone: it ended or was destroyed");
    if (problem.kind != ConnectProblem::Kind::unreachable) throw Error(doing + problem.why);
    if (parts_.clock.now() >= deadline)
      throw Error(doing + "it runs, but its SSH server does not answer: " + problem.why);
    parts_.clock.sleep(pause, parts_.cancellation);
  }
}

ScriptOutcome RunStage::run(const std::filesystem::path& script) {
  const auto record = resources_.folder().read();
  if (!record)
    throw Error("run a script in VM '" + resources_.name().text() +
                "': this job has no VM; it was not prepared, or is cleaned up already");
  GuestScript guest_script{.content = read_file(script, largest_script), .shell = record->shell};
  DiskWatch disks(resources_, {.limit = record->disk_limit, .room = record->room}, parts_.hypervisor,
                  parts_.clock);
  guest_script.watch = [&] { disks.look(); };
  const auto shell = connect(*record);
  try {
    auto outcome = shell->run_script(guest_script, parts_.cancellation);
    if (std::holds_alternative<ScriptStopped>(outcome)) {
      parts_.reporter.warn(
          "Stopped by a signal: the script's processes in the VM were ended, the VM is kept");
    }
    return outcome;
  } catch (const Error& error) {
    if (error.blame() == Blame::job) throw;
    throw Error("VM '" + resources_.name().text() + "': " + error.what() +
                (vm_is_gone() ? "; the VM is gone: it ended, crashed or was destroyed" : ""));
  }
}

}  // namespace sarde
