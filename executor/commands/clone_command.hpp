#pragma once

#include <string>

#include "executor/commands/command_tools.hpp"

namespace sarde {

struct CloneRequest {
  std::string source;
  std::string target;
  bool print_uuid = false;
};

/// `clone SOURCE TARGET`: defines a VM, not started, whose disks are thin copies: of a VM's that is shut
/// down, if there is one called SOURCE, else of an image's, fetched if it is not in the cache. Returns the
/// new VM's name, or with --print-uuid its UUID.
std::string clone_vm(const CommandTools& tools, const CloneRequest& request);

}  // namespace sarde
