#include "executor/stages/leftovers.hpp"

#include <cerrno>
#include <map>
#include <sys/stat.h>

#include "core/foundation/error.hpp"
#include "core/vm/vm_name.hpp"
#include "executor/stages/job_resources.hpp"

namespace sarde {

namespace fs = std::filesystem;

namespace {

/// Looks with the runner's own eyes, for it may have a /tmp of its own.
bool has_thrown_away(const JobOwner& owner) {
  if (!owner.response_file.is_absolute()) return false;
  const auto path = "/proc/" + std::to_string(owner.runner.pid) + "/root" + owner.response_file.string();

  struct stat ignored {};

  const bool is_gone = ::stat(path.c_str(), &ignored) != 0 && errno == ENOENT;
  return is_gone && life_of(owner.runner) == ProcessLife::lives;
}

/// By the VM's own metadata; empty: somebody may need it.
std::string why_left(const JobDomain& vm, const fs::path& jobsdir, const Moment& now) {
  if (vm.expires && vm.expires->is_before(now)) return "its time is over";
  // A job's folder is made before its VM and removed after it. Folders that are elsewhere are another's.
  std::error_code error;
  const bool is_ours = vm.folder.parent_path() == jobsdir && fs::is_directory(jobsdir, error);
  return is_ours && !fs::exists(vm.folder, error) && !error ? "its folder is gone" : "";
}

/// Why nobody needs the folder any more; empty: somebody may. The caller holds its lock.
std::string why_left(const JobFolder& folder, const std::string& name, Hypervisor& hypervisor) {
  if (!folder.is_prepared()) return "its prepare was killed";
  const auto owner = folder.owner();
  const auto runner = owner ? life_of(owner->runner) : ProcessLife::unknown;
  if (runner == ProcessLife::ended) return "its runner is gone";
  if (runner == ProcessLife::lives) return has_thrown_away(*owner) ? "its runner is done with it" : "";
  return hypervisor.state(name) == DomainState::gone ? "its VM is gone" : "";
}

/// Its lock, nothing if somebody has it or has just removed the folder.
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

std::vector<Leftover> find_leftovers(Hypervisor& hypervisor, const fs::path& jobsdir, const Clock& clock) {
  const auto now = clock.moment();
  std::map<std::string, Leftover> found;
  for (const auto& vm : hypervisor.list_jobs()) {
    if (const auto why = why_left(vm, jobsdir, now); !why.empty())
      found[vm.name] = {.name = vm.name, .why = why, .is_vm = true};
  }
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(jobsdir, error)) {
    const auto name = entry.path().filename().string();
    if (!VmName::parse(name)) continue;
    const JobFolder folder(entry.path());
    const auto lock = lock_of(folder);
    const auto why = lock ? why_left(folder, name, hypervisor) : "";
    if (!why.empty()) found.try_emplace(name, Leftover{.name = name, .why = why});
  }
  if (error && error != std::errc::no_such_file_or_directory)
    throw Error("look for what jobs left in " + jobsdir.string() + ": " + error.message());
  std::vector<Leftover> leftovers;
  for (const auto& [name, leftover] : found) leftovers.push_back(leftover);
  return leftovers;
}

void remove_leftover(const Leftover& leftover, Hypervisor& hypervisor, const fs::path& jobsdir) {
  const JobFolder folder(jobsdir / leftover.name);
  std::error_code ignored;
  const auto lock = lock_of(folder);
  if (!lock && fs::exists(folder.path(), ignored)) return;
  // Under the lock all is looked at again: the job's next try may have taken the name meanwhile.
  if (lock && !leftover.is_vm && why_left(folder, leftover.name, hypervisor).empty()) return;
  if (leftover.is_vm) hypervisor.destroy(leftover.name);
  if (const auto name = VmName::parse(leftover.name))
    JobResources(*name, folder, [&]() -> Hypervisor& { return hypervisor; }).take_down();
}

}  // namespace sarde
