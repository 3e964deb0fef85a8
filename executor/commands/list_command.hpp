#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "executor/commands/command_tools.hpp"

namespace sarde {

struct ListRequest {
  AnswerForm form = AnswerForm::text;
  std::vector<std::filesystem::path> jobsdirs;  ///< where jobs' folders may be
  bool may_have_base_vms = true;                ///< libvirt may know a VM that is named after an image
};

/// `list`: the images in the cache, and for each whether the VM named after it (by its config's digest) is
/// missing, stopped or running; and the other VMs and jobs that use it. Returns a table, or JSON in
/// sardinecake's form with a list of users added. Asks libvirt only if a VM could use an image.
std::string list_images(const CommandTools& tools, const ListRequest& request);

}  // namespace sarde
