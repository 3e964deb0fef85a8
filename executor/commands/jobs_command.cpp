#include "executor/commands/jobs_command.hpp"

#include <algorithm>
#include <ctime>

#include <nlohmann/json.hpp>

#include "core/foundation/error.hpp"
#include "core/foundation/json_text.hpp"
#include "core/foundation/text.hpp"
#include "core/system/files.hpp"
#include "core/vm/vm_name.hpp"
#include "executor/commands/text_table.hpp"
#include "executor/job/vm_shape.hpp"

namespace sarde {

namespace {

struct JobState {
  JobDescription about;
  std::string state;
  std::string address;
  std::string start = {};  ///< how the VM got there
  std::optional<std::uint64_t> memory_mib = {};
};

/// What the job is doing, in a word or two.
std::string state_of(const KnownJob& job, const std::optional<DomainState>& vm) {
  const auto& folder = job.folder;
  if (folder.kept_until()) return "kept";
  if (!folder.is_prepared()) {
    if (folder.ticket()) return "waiting for room";
    return folder.is_locked() ? "preparing" : "dead";
  }
  if (vm == DomainState::gone) return "VM is gone";
  const auto stage = folder.stage();
  return stage.empty() ? "ready" : stage;
}

JobState look_at(const CommandTools& tools, const KnownJob& job) {
  std::optional<DomainState> vm;
  if (job.folder.expects_vm()) vm = tools.hypervisor().state(job.vm);
  JobState state{.about = job.folder.description().value_or(JobDescription{}),
                 .state = state_of(job, vm),
                 .address = {}};
  if (state.about.id.empty()) state.about.id = split(job.vm, '-').at(1);
  if (const auto record = job.folder.read()) {
    state.address = record->address + " port " + std::to_string(record->port);
    state.start = record->saved_state == 0 ? "boot" : "warm (" + size_text(record->saved_state) + ")";
  }
  if (const auto reserved = job.folder.reservation())
    state.memory_mib = *reserved - std::min(*reserved, qemu_overhead_mib);
  return state;
}

std::string since_text(std::int64_t since, std::int64_t now) {
  if (since == 0) return "";
  return duration_text(std::chrono::seconds(std::max<std::int64_t>(0, now - since)));
}

}  // namespace

std::vector<KnownJob> known_jobs(const std::vector<std::filesystem::path>& jobsdirs) {
  std::vector<std::pair<std::int64_t, KnownJob>> jobs;
  for (const auto& jobsdir : jobsdirs) {
    for (const auto& path : folder_entries(jobsdir)) {
      const auto name = path.filename().string();
      if (!VmName::parse(name)) continue;
      const JobFolder folder(path);
      const auto about = folder.description();
      jobs.emplace_back(about ? about->since : INT64_MAX, KnownJob{.vm = name, .folder = folder});
    }
  }
  std::ranges::sort(jobs, {}, [](const auto& job) { return std::pair(job.first, job.second.vm); });
  std::vector<KnownJob> sorted;
  for (auto& [since, job] : jobs) sorted.push_back(std::move(job));
  return sorted;
}

KnownJob find_job(const std::vector<std::filesystem::path>& jobsdirs, const std::string& wanted) {
  std::vector<KnownJob> found;
  std::vector<std::string> names;
  for (auto& job : known_jobs(jobsdirs)) {
    if (job.vm != wanted && split(job.vm, '-').at(1) != wanted) continue;
    names.push_back(job.vm);
    found.push_back(std::move(job));
  }
  if (found.empty())
    throw Error(Blame::job,
                "there is no job " + quote(wanted) + " on this host; 'sarde-executor jobs' lists them");
  if (found.size() > 1)
    throw Error(Blame::job, "several jobs have the number " + quote(wanted) + ": " + join(names, ", ") +
                                "; name one of them");
  return found.front();
}

std::string list_jobs(const CommandTools& tools, AnswerForm form,
                      const std::vector<std::filesystem::path>& jobsdirs) {
  const auto now = tools.clock.moment().unix_seconds;
  auto list = nlohmann::ordered_json::array();
  TextTable table({"JOB", "STATE", "SINCE", "PROJECT", "NAME", "IMAGE", "MEMORY", "ADDRESS", "START"});
  for (const auto& job : known_jobs(jobsdirs)) {
    const auto [about, state, address, start, memory] = look_at(tools, job);
    list.push_back(
        {{"id", about.id},
         {"vm", job.vm},
         {"state", state},
         {"since", about.since == 0 ? nlohmann::ordered_json() : nlohmann::ordered_json(about.since)},
         {"project", about.project},
         {"name", about.name},
         {"image", about.image},
         {"memory", memory ? nlohmann::ordered_json(*memory << 20U) : nlohmann::ordered_json()},
         {"address", address},
         {"start", start},
         {"folder", job.folder.path().string()}});
    table.add({about.id, state, since_text(about.since, now), about.project, about.name, about.image,
               memory ? size_text(*memory << 20U) : "", address, start});
  }
  if (form == AnswerForm::json) return json_text(list);
  return table.text(tools.columns);
}

}  // namespace sarde
