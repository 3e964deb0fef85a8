#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/image/store/image_removal.hpp"
#include "executor/commands/command_tools.hpp"

namespace sarde {

struct GcRequest {
  Removal removal = Removal::real;
  AnswerForm form = AnswerForm::text;
  std::vector<std::filesystem::path> jobsdirs = {};  ///< where jobs' folders may be
};

/// `gc`: removes what was left behind by jobs whose `cleanup` did not run (find_leftovers), temporary
/// files of processes that were killed, and saved states from which no VM continues any more. Syncs what jobs
/// have unpacked, and reads the disks of one unpacked image a run, each image's once a week. Returns the
/// names of the VMs and folders that were removed.
std::string collect_garbage(const CommandTools& tools, const GcRequest& request);

}  // namespace sarde
