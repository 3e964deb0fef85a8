#pragma once

#include <string>

#include "executor/commands/command_tools.hpp"

namespace sarde {

/// `list`: the images in the cache, and for each whether the VM named after it (by its config's digest) is
/// missing, stopped or running. Returns a table, or JSON in sardinecake's form.
std::string list_images(const CommandTools& tools, AnswerForm form);

}  // namespace sarde
