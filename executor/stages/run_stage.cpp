#include "executor/stages/run_stage.hpp"

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/system/files.hpp"
#include "executor/job/disk_watch.hpp"
#include "executor/job/kept_door.hpp"

namespace sarde {

using std::chrono::milliseconds;

namespace {

constexpr std::uint64_t largest_script = 256U << 20U;
constexpr milliseconds pause(100);

std::string fate_of_processes(const RemainingProcesses& remaining) {
  constexpr std::size_t most = 10;
  const auto names = [](std::vector<std::string> all) {
    const auto more = all.size() > most;
    if (more) all.resize(most);
    return join(all, ", ") + (more ? ", …" : "");
  };
  if (!remaining.problem.empty())
    return "the script's processes in the VM could not be ended (" + remaining.problem + ")";
  std::string text = "the script's processes in the VM were ended";
  if (!remaining.of_script.empty()) text += ", except " + names(remaining.of_script);
  if (!remaining.others.empty())
    text += "; other processes that have begun since are still there: " + names(remaining.others);
  return text;
}

}  // namespace

/// Whether libvirt says so within this time. Never throws: a libvirt that cannot be asked now is no reason to
/// stop a script, and the error that ended one is reported in any case.
bool RunStage::vm_is_gone(milliseconds patience) noexcept {
  try {
    const auto deadline = parts_.clock.now() + patience;
    while (parts_.machines().state(parts_.resources.name().text()) == DomainState::running) {
      if (parts_.clock.now() >= deadline) return false;
      parts_.clock.sleep(pause, parts_.cancellation);
    }
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

/// What is written for people must not decide about the job.
void RunStage::noted(const std::function<void()>& write) {
  try {
    write();
  } catch (const Error& error) {
    parts_.reporter.detail(error.what());
  }
}

/// For `jobs`, and for `cleanup`, which may keep the VM of a job that has failed.
void RunStage::note(const ScriptOutcome& outcome, const std::string& stage) {
  const auto& folder = parts_.resources.folder();
  folder.note_stage("");
  const auto* exited = std::get_if<ScriptExited>(&outcome);
  if ((exited != nullptr && exited->code == 0) || std::holds_alternative<ScriptStopped>(outcome)) return;
  if (stage == "after_script") return;  // its failure is none of the job
  if (!parts_.keep_on_failure || folder.time_to_keep()) return;
  folder.keep_after_job(*parts_.keep_on_failure);
  parts_.reporter.say("The VM will be kept for " + duration_text(*parts_.keep_on_failure) +
                      " after the job if this makes it fail: on the runner's host, 'sarde-executor ssh " +
                      parts_.job_id + "' leads into it");
}

/// Runs the script in this shell, and says of which VM it is when that fails.
ScriptOutcome RunStage::run_in(GuestShell& shell, const GuestScript& script, const std::string& stage) {
  noted([&] { parts_.resources.folder().note_stage(stage); });
  try {
    return shell.run_script(script, parts_.cancellation);
  } catch (const ScriptNotBegun&) {
    throw;
  } catch (const Error& error) {
    if (error.blame() == Blame::job) throw;
    throw_lost(error);
  }
}

void RunStage::throw_lost(const Error& error) {
  // The connection may be lost shortly before libvirt notices that QEMU has ended.
  constexpr milliseconds patience(2'000);
  throw Error("VM '" + parts_.resources.name().text() + "': " + error.what() +
              (vm_is_gone(patience) ? "; the VM is gone: it has ended, crashed or was destroyed" : ""));
}

/// Over the connection that is kept between stages; if there is none, or it is of no use, over one of our
/// own.
ScriptOutcome RunStage::run_in_guest(const GuestScript& script, const JobRecord& record,
                                     const std::string& stage) {
  const auto is_gone = [&] { return vm_is_gone(milliseconds(0)); };
  if (const auto kept = open_kept_door(parts_.resources.folder(), is_gone, parts_.cancellation)) {
    try {
      return run_in(*kept, script, stage);
    } catch (const ScriptNotBegun& error) {
      parts_.reporter.detail(std::string("Connecting to the VM anew: ") + error.what());
    }
  }
  const auto shell = parts_.door.reopen(parts_.resources.name().text(), record);
  try {
    return run_in(*shell, script, stage);
  } catch (const ScriptNotBegun& error) {
    throw_lost(error);
  }
}

ScriptOutcome RunStage::run(const std::filesystem::path& script, const std::string& stage) {
  const auto record = parts_.resources.folder().read();
  if (!record)
    throw Error("run a script in VM '" + parts_.resources.name().text() +
                "': this job has no VM; it was not prepared, or has already been cleaned up");
  GuestScript guest_script{.content = read_file(script, largest_script),
                           .shell = record->shell,
                           .environment = {.timezone = record->timezone, .folder = record->path_folder}};
  DiskWatch disks(parts_.resources, {.limit = record->disk_limit, .room = record->room}, parts_.machines,
                  parts_.clock);
  DiskServerWatch server(record->disk_server, parts_.environment);
  guest_script.watch = [&] {
    disks.look();
    server.look();
  };
  server.look();
  auto outcome = [&] {
    try {
      return run_in_guest(guest_script, *record, stage);
    } catch (const Error&) {
      server.look();  // why the guest has failed
      throw;
    }
  }();
  // A script that could not read its disk has not failed by itself.
  if (const auto* exited = std::get_if<ScriptExited>(&outcome); exited == nullptr || exited->code != 0)
    server.look();
  noted([&] { note(outcome, stage); });
  if (const auto* stopped = std::get_if<ScriptStopped>(&outcome))
    parts_.reporter.warn("Stopped by a signal: " + fate_of_processes(stopped->remaining) +
                         "; the VM was kept");
  return outcome;
}

}  // namespace sarde
