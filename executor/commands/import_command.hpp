#pragma once

#include <string>

#include "executor/commands/answers.hpp"
#include "executor/commands/transfer_commands.hpp"

namespace sarde {

struct ImportRequest {
  std::string container;  ///< an image in the cache
  std::string name = {};  ///< the VM's; empty: the config's digest
  bool raw = false;       ///< `container` is the folder of a layout
};

struct PullRequest {
  FetchRequest fetch;
  std::string name = {};  ///< the VM's; empty: the config's digest
};

/// `import`: unpacks an image from the cache (with --raw, from the folder of a layout) and defines a VM,
/// which is not started.
DefinedVm import_image(const CommandTools& tools, const ImportRequest& request);

/// `pull`: fetches and imports.
DefinedVm pull_image(const CommandTools& tools, const PullRequest& request);

}  // namespace sarde
