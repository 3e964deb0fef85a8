#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "executor/commands/command_tools.hpp"

namespace sarde {

/// `list`: the images in the cache, and for each whether the VM named after it (by its config's digest) is
/// missing, stopped or running; and the other VMs and jobs that use it. Returns a table, or JSON in
/// sardinecake's form with a list of users added. `jobsdirs`: where jobs' folders may be.
std::string list_images(const CommandTools& tools, AnswerForm form,
                        const std::vector<std::filesystem::path>& jobsdirs);

}  // namespace sarde
