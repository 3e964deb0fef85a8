#pragma once

#include <string>

#include "executor/commands/command_parts.hpp"

namespace sarde {

struct SelftestAnswer {
  std::string text;
  bool all_is_well = true;
};

/// `selftest`: whether this machine has what is needed: the programs, libvirt, folders that can be written
/// to, room in them; and what makes work slower without (KVM, shared extents). Says a line at each verbosity,
/// as sardinecake does.
SelftestAnswer self_test(const CommandParts& parts);

}  // namespace sarde
