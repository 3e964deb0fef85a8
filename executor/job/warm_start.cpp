#include "executor/job/warm_start.hpp"

#include <algorithm>
#include <sys/utsname.h>

#include "core/foundation/digest.hpp"
#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/system/files.hpp"
#include "core/vm/domain/domain_reading.hpp"
#include "core/vm/domain/job_domain.hpp"
#include "core/vm/passt.hpp"
#include "executor/job/guest_renewal.hpp"
#include "executor/job/phases.hpp"

namespace sarde {

using std::chrono::milliseconds;

namespace {

/// The processor and the kernel of this machine. Emulated processors depend on neither; but who would know
/// what else QEMU takes from there?
std::string machine_text() {
  std::string text;
  for (const auto& line : split(read_proc_file("/proc/cpuinfo").value_or(""), '\n')) {
    const bool is_told = line.starts_with("model name") || line.starts_with("flags") ||
                         line.starts_with("microcode") || line.starts_with("Features") ||
                         line.starts_with("CPU ");
    if (is_told && text.find(line) == std::string::npos) text += line + "\n";
  }
  utsname kernel{};
  if (::uname(&kernel) == 0) text += std::string(kernel.release) + " " + kernel.version + "\n";
  return text;
}

/// A program's new build may have an old one's version.
std::string file_text(const std::filesystem::path& file) {
  return file.string() + " " + look_of(file);
}

/// The same VM for another job, whose files have the same names in its folder.
JobVm in_other_job(JobVm vm, const VmName& name, const std::filesystem::path& folder) {
  const auto move = [&](std::filesystem::path& path) {
    if (path.parent_path() == vm.folder) path = folder / path.filename();
  };
  for (auto& [disk, file] : vm.disk_files) move(file.path);
  for (auto& own : vm.own_disks) move(own.file);
  move(vm.console_log);
  move(vm.nvram);
  vm.name = name;
  vm.folder = folder;
  return vm;
}

/// The VM's domain, without what is the job's own.
std::string domain_of_kind(const JobVm& of_job) {
  auto vm = in_other_job(of_job, VmName::of_job("0", ""), "/job");
  vm.job_id = vm.title = "";
  vm.expires = {};
  return build_job_domain(vm).xml;
}

/// All that a VM must have in common with one whose state it continues from.
std::string key_of(const StartedVm& planned, const WarmStart::Subject& subject, const std::string& disk_sizes,
                   const std::filesystem::path& passt, VmHost& host) {
  const auto& login = subject.setup.login;
  const auto architecture = parse_domain(planned.vm.image_xml, "the image's domain").architecture;
  constexpr std::string_view layout = "1";  // of the template, and of what is done with it
  std::string key(layout);
  for (const auto& part :
       {subject.image.image.manifest.digest.text(), domain_of_kind(planned.vm), disk_sizes, login.username,
        Digest::of(login.password.reveal()).text(), file_text(login.identity_file), host.software(),
        file_text(host.emulator(architecture)), file_text(passt), machine_text(), passt_answers()})
    key += "\n" + part;
  return key;
}

}  // namespace

WarmStart::WarmStart(Parts parts, Subject subject, StartedVm& planned)
    : parts_(std::move(parts)), subject_(std::move(subject)) {
  if (!parts_.rules.is_wanted) return;
  try {
    if (const auto why = why_not(planned); !why.empty()) {
      boots(why);
      return;
    }
    planned.vm.may_be_cloned = true;
    templates_.emplace(subject_.image.unpacked.folder, key_of(planned, subject_, parts_.starter.disk_sizes(),
                                                              parts_.rules.passt, parts_.hypervisor()));
  } catch (const Error& error) {
    boots(error.what());
  }
}

void WarmStart::boots(const std::string& why) {
  parts_.reporter.say("The VM boots, because " + why + " (warm)");
}

/// Why such a VM always boots; empty if it need not.
std::string WarmStart::why_not(const StartedVm& planned) const {
  const auto& vm = planned.vm;
  if (!parts_.hypervisor().is_local()) return "libvirt is on another machine";
  if (vm.disk_server) return "its image is still coming";
  if (!planned.network.is_user)
    return "on a libvirt network or a bridge, two VMs with one saved state would have one address";
  if (!planned.network.wants_passt) return "its network is not passt's but QEMU's own (slirp)";
  if (parts_.rules.passt.empty()) return "passt, which would give it a network of its own, is not installed";
  if (!vm.shared_folders.empty()) return "it has mounts";
  if (!vm.allowed_devices.empty()) return "allow-devices is set";
  if (vm.nested) return "it may run VMs itself (nested)";
  if (has_tpm(vm.image_xml)) return "it has a TPM, whose keys belong to one VM";
  if (!subject_.setup.seed.empty()) return "cloud-init sets it up for this job alone";
  if (!subject_.setup.key_for_agent.empty()) return "its guest's agent gets a key for this job alone";
  if (parts_.rules.shell == "powershell") return "only Linux guests can be renewed";
  return "";
}

/// Nothing, too, if it cannot be looked for.
std::optional<WarmTemplate> WarmStart::find() {
  try {
    return templates_->find(parts_.clock);
  } catch (const Error& error) {
    parts_.reporter.detail(std::string("Saved states: ") + error.what());
    return std::nullopt;
  }
}

/// What cannot be noted is found out again by the next job.
void WarmStart::refuse(const std::string& why) {
  try {
    templates_->refuse(why, parts_.clock);
  } catch (const Error& error) {
    parts_.reporter.detail(std::string("Saved states: ") + error.what());
  }
}

std::optional<OpenDoor> WarmStart::go_on(StartedVm& started) {
  if (!templates_ || parts_.rules.is_renewed) return std::nullopt;
  auto made = find();
  if (!made) return std::nullopt;
  if (!made->refusal.empty()) {
    boots(made->refusal);
    return std::nullopt;
  }
  const Phase phase(parts_.clock, parts_.reporter);
  try {
    auto door = go_on_from(*made, started);
    const auto age = std::max<std::int64_t>(0, parts_.clock.moment().unix_seconds - made->made);
    phase.done("VM " + started.vm.name.text() + " continues from a state saved " +
               duration_text(std::chrono::seconds(age)) + " ago, instead of booting");
    state_size_ = made->bytes;
    return door;
  } catch (const Cancelled&) {
    throw;
  } catch (const std::exception& error) {
    boots(std::string("it could not continue from the saved state: ") + error.what());
    return std::nullopt;
  }
}

/// Proves the template first, if nobody has, or waits for another job that does.
OpenDoor WarmStart::go_on_from(WarmTemplate& made, StartedVm& started) {
  constexpr std::chrono::seconds long_enough(30);
  std::optional<FileLock> lock;
  if (!made.is_proven) {
    lock = templates_->lock({.clock = parts_.clock,
                             .cancellation = parts_.cancellation,
                             .deadline = parts_.clock.now() + long_enough});
    const auto now = find();
    if (!now || !now->refusal.empty()) throw Error("another job has found that it cannot be used");
    made = *now;
    if (made.is_proven) lock.reset();
  }
  if (!WarmTemplates::is_whole(made, parts_.clock, parts_.cancellation)) {
    WarmTemplates::drop(made);
    throw Error("it is not what was saved any more");
  }
  if (!lock) return take(continue_from(made, started, subject_.resources), started);
  try {
    return prove(made, started);
  } catch (const Cancelled&) {
    throw;
  } catch (const NoPasst&) {
    throw;
  } catch (const std::exception& error) {
    // Another one would fail in the same way.
    refuse(std::string("no VM could continue from the state of the last one: ") + error.what());
    throw;
  }
}

OpenDoor WarmStart::take(Continued continued, StartedVm& started) {
  parts_.starter.forget_copies(started.vm);
  started = std::move(continued.vm);
  parts_.starter.forget_copies(started.vm);
  return std::move(continued.door);
}

/// A VM that continued from the state, with a guest that is its own. If that fails, nothing is left of it.
WarmStart::Continued WarmStart::continue_from(const WarmTemplate& made, const StartedVm& planned,
                                              const JobResources& resources) {
  constexpr milliseconds least_patience(10'000);
  const auto& folder = resources.folder();
  Continued result{.vm = planned, .door = {}, .random = {}};
  try {
    parts_.starter.restore(result.vm, made, subject_.image, folder, subject_.needs);
    // A host that was slow to boot it may be slow now.
    const auto patience = std::max(least_patience, made.boot / 2);
    result.door = open_again(result.vm, patience, made.host_key);
    const auto renewal = timed(parts_.clock, parts_.reporter, "renewed the guest", [&] {
      return renew_guest(*result.door.shell, resources.name().text(), subject_.watch, parts_.clock,
                         parts_.cancellation);
    });
    if (!renewal.problem.empty()) throw Error(renewal.problem);
    result.random = renewal.random;
    // What the first connection has agreed upon came from random numbers that other VMs had, too.
    result.door = open_again(result.vm, patience, made.host_key);
    return result;
  } catch (const Cancelled&) {
    throw;
  } catch (const NoPasst&) {
    parts_.starter.undo(result.vm, folder);
    throw;
  } catch (...) {
    result.door.shell.reset();
    parts_.starter.undo(result.vm, folder);
    WarmTemplates::drop(made);  // the next job would fail in the same way
    throw;
  }
}

OpenDoor WarmStart::open_again(const StartedVm& vm, milliseconds timeout, const std::string& host_key) {
  return timed(parts_.clock, parts_.reporter, "logged in", [&] {
    return parts_.door.open_again(vm, subject_.setup.login,
                                  {.timeout = timeout, .host_key = host_key, .watch = subject_.watch});
  });
}

/// Before a job trusts the template: two VMs that continue from it must not have the same random numbers. The
/// second of them lives as long as this takes.
OpenDoor WarmStart::prove(const WarmTemplate& made, StartedVm& started) {
  const auto& job = subject_.job;
  const auto name = VmName::of_job(job.id, job.distinction + "\ntwin");
  const JobResources twin(name, JobFolder(subject_.resources.folder().path().parent_path() / name.text()),
                          parts_.hypervisor);
  twin.take_down();
  const Rollback undo(twin, parts_.reporter);
  const auto lock = twin.folder().create(subject_.resources.folder().owner());
  const StartedVm other{.vm = in_other_job(started.vm, name, twin.folder().path()),
                        .network = started.network};
  auto first = continue_from(made, started, subject_.resources);
  try {
    if (continue_from(made, other, twin).random == first.random)
      throw Error("two VMs that continued from it have the same random numbers");
    WarmTemplates::note_proof(made);
  } catch (...) {
    first.door.shell.reset();
    parts_.starter.undo(first.vm, subject_.resources.folder());
    throw;
  }
  parts_.reporter.detail("Two VMs that continued from the saved state have different random numbers");
  return take(std::move(first), started);
}

OpenDoor WarmStart::keep(StartedVm& started, OpenDoor door, milliseconds boot) {
  if (!templates_ || !started.network.passt) return door;
  const auto is_there = [&] { return !parts_.rules.is_renewed && find(); };
  if (is_there()) return door;
  std::optional<FileLock> lock;
  try {
    lock = templates_->try_lock();
  } catch (const Error& error) {
    parts_.reporter.say(std::string("The VM's state cannot be saved for later VMs (warm): ") + error.what());
  }
  if (!lock || is_there()) return door;  // another job makes it
  // No connection of this job's is to be found in the state, nor the process that serves it.
  constexpr milliseconds to_end(300);
  const auto host_key = door.shell->host_key();
  door.shell.reset();
  parts_.clock.sleep(to_end, parts_.cancellation);
  const auto patience = std::max<milliseconds>(boot, std::chrono::minutes(1));
  const auto renew = [&] {
    const auto again = open_again(started, patience, host_key);
    return renew_guest(*again.shell, "", subject_.watch, parts_.clock, parts_.cancellation).problem;
  };
  try {
    save(started, host_key, boot);
    if (const auto problem = renew(); !problem.empty()) {
      has_saved_ = false;
      refuse(problem);
      parts_.reporter.say("Later VMs of this image will boot, too: " + problem + " (warm)");
    }
  } catch (const Cancelled&) {
    throw;
  } catch (const std::exception& error) {
    // What the job itself is to blame for, its disk being full, is no matter of the state.
    if (const auto* of_job = dynamic_cast<const Error*>(&error); of_job && of_job->blame() == Blame::job)
      throw;
    has_saved_ = false;
    refuse(std::string("the state of an earlier VM could not be saved: ") + error.what());
    parts_.reporter.say(std::string("The VM's state could not be saved for later VMs (warm): ") +
                        error.what());
  }
  return open_again(started, patience, host_key);
}

void WarmStart::save(StartedVm& started, const std::string& host_key, milliseconds boot) {
  const Phase phase(parts_.clock, parts_.reporter);
  auto files = templates_->begin(parts_.clock);
  auto made = parts_.starter.save(started, subject_.resources.folder(), files.path());
  made.made = parts_.clock.moment().unix_seconds;
  made.max_age = parts_.rules.max_age;
  made.host_key = host_key;
  made.boot = boot;
  templates_->keep(std::move(files), made, parts_.clock, parts_.cancellation);
  has_saved_ = true;
  phase.done("Saved the VM's state, from which later VMs of this image will continue");
}

}  // namespace sarde
