#pragma once

#include <string>

#include "executor/commands/command_tools.hpp"

namespace sarde {

/// `list`: the images in the cache and whether a VM of that name (the config's digest) is missing, stopped or
/// running; a table, or JSON as sardinecake has it.
std::string list_images(const CommandTools& tools, AnswerForm form);

}  // namespace sarde
