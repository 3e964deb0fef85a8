#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/job/job_record.hpp"
#include "executor/commands/command_tools.hpp"

namespace sarde {

/// A job that has a folder on this host.
struct KnownJob {
  std::string vm;  ///< its name
  JobFolder folder;
};

/// The jobs of these folders, the oldest first.
std::vector<KnownJob> known_jobs(const std::vector<std::filesystem::path>& jobsdirs);

/// The one that `wanted` names: by its VM's name, or by its id. Throws Error, the job's fault, if there is
/// none, or if several have this id.
KnownJob find_job(const std::vector<std::filesystem::path>& jobsdirs, const std::string& wanted);

/// `jobs`: what runs on this host, since when, for whom. Asks libvirt for the VMs' states.
std::string list_jobs(const CommandTools& tools, AnswerForm form,
                      const std::vector<std::filesystem::path>& jobsdirs);

}  // namespace sarde
