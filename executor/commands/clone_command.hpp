#pragma once

#include <string>

#include "executor/commands/answers.hpp"
#include "executor/commands/command_tools.hpp"

namespace sarde {

struct CloneRequest {
  std::string source;
  std::string target;
  bool keep_blobs = false;  ///< whether the layers of an image that is fetched stay in the cache
};

/// `clone SOURCE TARGET`: defines a VM whose disks are thin copies, and does not start it. If a VM is called
/// SOURCE, it must be shut down, and its disks are copied; otherwise those of an image are, which is fetched
/// if it is not in the cache.
DefinedVm clone_vm(const CommandTools& tools, const CloneRequest& request);

}  // namespace sarde
