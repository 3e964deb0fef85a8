#include "executor/stages/leftovers.hpp"

#include <map>

#include "core/foundation/error.hpp"
#include "core/job/job_record.hpp"
#include "core/system/files.hpp"

namespace sarde {

namespace fs = std::filesystem;

namespace {

/// A folder that was made just now: its `prepare` has not taken its lock yet, or its VM is about to start.
constexpr std::chrono::seconds young(60);

/// Why nobody needs the folder any more; empty: somebody may.
std::string reason(const JobFolder& folder, const JobDomain* vm, std::int64_t now) {
  if (vm != nullptr && vm->expires != 0 && vm->expires < now) return "its time is over";
  if (age_of(folder.path()) < young || !folder.try_lock()) return "";
  if (!folder.is_prepared()) return "its prepare was killed";
  return vm == nullptr ? "its VM is gone" : "";
}

}  // namespace

std::vector<Leftover> find_leftovers(Hypervisor& hypervisor, const fs::path& jobsdir, const Clock& clock) {
  const auto now = clock.unix_seconds();
  std::map<std::string, JobDomain> vms;
  for (auto& vm : hypervisor.list_jobs()) vms[vm.name] = vm;
  std::vector<Leftover> leftovers;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(jobsdir, error)) {
    const auto name = entry.path().filename().string();
    if (!name.starts_with("sarde-")) continue;
    const auto found = vms.find(name);
    const auto* vm = found == vms.end() ? nullptr : &found->second;
    if (const auto why = reason(JobFolder(entry.path()), vm, now); !why.empty())
      leftovers.push_back({.name = name, .why = why, .has_vm = vm != nullptr});
    vms.erase(name);
  }
  if (error && error != std::errc::no_such_file_or_directory)
    throw Error("look for what jobs left in " + jobsdir.string() + ": " + error.message());
  for (const auto& [name, vm] : vms) {
    if (vm.expires != 0 && vm.expires < now)
      leftovers.push_back({.name = name, .why = "its time is over", .has_vm = true});
  }
  return leftovers;
}

void remove_leftover(const Leftover& leftover, Hypervisor& hypervisor, const fs::path& jobsdir) {
  const JobFolder folder(jobsdir / leftover.name);
  std::error_code ignored;
  const bool has_folder = fs::exists(folder.path(), ignored);
  const auto lock = has_folder ? folder.try_lock() : std::nullopt;
  if (has_folder && !lock) return;
  if (leftover.has_vm) hypervisor.destroy(leftover.name);
  remove_if_there(folder.path());
}

}  // namespace sarde
