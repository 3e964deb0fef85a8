#include "executor/job/leftovers.hpp"

#include <cerrno>
#include <map>
#include <sys/stat.h>

#include "core/foundation/error.hpp"
#include "core/system/files.hpp"
#include "core/vm/vm_name.hpp"
#include "executor/job/job_resources.hpp"

namespace sarde {

namespace fs = std::filesystem;

namespace {

/// Looks at the file system as the runner sees it, because the runner may have its own /tmp.
bool has_thrown_away(const JobOwner& owner) {
  if (!owner.response_file.is_absolute()) return false;
  const auto path = "/proc/" + std::to_string(owner.runner.pid) + "/root" + owner.response_file.string();

  struct stat ignored {};

  const bool is_gone = ::stat(path.c_str(), &ignored) != 0 && errno == ENOENT;
  return is_gone && life_of(owner.runner) == ProcessLife::lives;
}

/// Why the VM is not needed any more, according to its metadata; empty if it may still be needed. Metadata
/// alone prove nothing, because anyone who defines a VM can write them. The VM must also have a name of the
/// form that this program gives, its metadata must name the folder that this jobsdir would have for it, and
/// libvirt must keep no definition of it.
std::string why_left(const JobDomain& vm, const fs::path& jobsdir, const Moment& now) {
  const bool is_ours = VmName::parse(vm.name) && vm.folder == jobsdir / vm.name && vm.is_transient;
  std::error_code error;
  if (!is_ours || !fs::is_directory(jobsdir, error)) return "";
  // A job's folder is made before its VM and removed after it.
  if (!fs::exists(vm.folder, error)) return error ? "" : "its folder is gone";
  const JobFolder folder(vm.folder);
  if (folder.kept_until()) return "";  // that decides
  const auto owner = folder.owner();
  const bool is_tried = owner && owner->response_file.empty();
  if (is_tried && life_of(owner->runner) == ProcessLife::lives) return "";
  return vm.expires && vm.expires->is_before(now) ? "its time is over" : "";
}

/// The same, with the VM's current metadata.
std::string why_left_now(const std::string& name, Machines& machines, const fs::path& jobsdir,
                         const Moment& now) {
  for (const auto& vm : machines.list_jobs())
    if (vm.name == name) return why_left(vm, jobsdir, now);
  return "";
}

/// Nobody watches what a VM writes that is kept after its job.
bool has_filled_its_disk(const JobFolder& folder, const std::string& name, Machines& machines) {
  const auto record = folder.read();
  return record && machines.written_bytes(name).value_or(0) > record->disk_limit;
}

/// Why the folder is not needed any more; empty if it may still be needed. The caller holds its lock.
std::string why_left(const JobFolder& folder, const std::string& name, Machines& machines,
                     const Moment& now) {
  if (!folder.is_prepared()) return "its prepare was killed";
  if (const auto kept = folder.kept_until())
    return kept->is_before(now)                          ? "it was kept for long enough"
           : machines.state(name) == DomainState::gone   ? "its VM is gone"
           : has_filled_its_disk(folder, name, machines) ? "it was kept, and has filled its disks"
                                                         : "";
  const auto owner = folder.owner();
  const auto runner = owner ? life_of(owner->runner) : ProcessLife::unknown;
  if (runner == ProcessLife::ended) return "its runner is gone";
  if (runner == ProcessLife::lives) return has_thrown_away(*owner) ? "its runner is done with it" : "";
  return machines.state(name) == DomainState::gone ? "its VM is gone" : "";
}

/// The folder's lock; nothing if another process holds it or has just removed the folder.
std::optional<FileLock> lock_of(const JobFolder& folder) {
  std::error_code error;
  if (!fs::is_directory(folder.path(), error)) return std::nullopt;
  try {
    return folder.try_lock();
  } catch (const Error&) {
    if (!fs::is_directory(folder.path(), error)) return std::nullopt;
    throw;
  }
}

}  // namespace

std::vector<Leftover> find_leftovers(Machines& machines, const fs::path& jobsdir, const Clock& clock) {
  const auto now = clock.moment();
  std::map<std::string, Leftover> found;
  for (const auto& vm : machines.list_jobs()) {
    if (const auto why = why_left(vm, jobsdir, now); !why.empty())
      found[vm.name] = {.name = vm.name, .why = why, .is_vm = true};
  }
  for (const auto& path : folder_entries(jobsdir)) {
    const auto name = path.filename().string();
    if (!VmName::parse(name)) continue;
    const JobFolder folder(path);
    const auto lock = lock_of(folder);
    const auto why = lock ? why_left(folder, name, machines, now) : "";
    if (!why.empty()) found.try_emplace(name, Leftover{.name = name, .why = why});
  }
  std::vector<Leftover> leftovers;
  for (const auto& [name, leftover] : found) leftovers.push_back(leftover);
  return leftovers;
}

void remove_leftover(const Leftover& leftover, Machines& machines, const fs::path& jobsdir,
                     const Clock& clock) {
  const auto name = VmName::parse(leftover.name);
  if (!name) return;
  const JobFolder folder(jobsdir / leftover.name);
  std::error_code ignored;
  const auto lock = lock_of(folder);
  if (!lock && fs::exists(folder.path(), ignored)) return;
  // Checks everything again under the lock, because the job's next try may be using the name by now.
  const auto why = leftover.is_vm ? why_left_now(leftover.name, machines, jobsdir, clock.moment())
                                  : why_left(folder, leftover.name, machines, clock.moment());
  if (why.empty()) return;
  if (leftover.is_vm) machines.destroy(leftover.name);
  JobResources(*name, folder, [&]() -> Machines& { return machines; }).take_down();
}

void discard_leftovers(const Source<Machines>& machines, const std::filesystem::path& jobsdir,
                       const Clock& clock, Reporter& reporter) {
  try {
    for (const auto& leftover : find_leftovers(machines(), jobsdir, clock)) {
      reporter.say("Removing what another job left behind, " + leftover.name + ": " + leftover.why);
      remove_leftover(leftover, machines(), jobsdir, clock);
    }
  } catch (const Cancelled&) {
    throw;
  } catch (const std::exception& error) {
    reporter.detail(std::string("Could not remove what other jobs left behind: ") + error.what());
  }
}

}  // namespace sarde
