#pragma once

#include <string>

#include "executor/commands/transfer_commands.hpp"

namespace sarde {

struct ImportRequest {
  std::string container;  ///< an image in the cache
  std::string name = {};  ///< the VM's; empty: the config's digest
  bool raw = false;       ///< `container` is the folder of a layout
  bool print_uuid = false;
};

struct PullRequest {
  FetchRequest fetch;
  std::string name = {};  ///< the VM's; empty: the config's digest
  bool print_uuid = false;
};

/// `import`: unpacks an image from the cache (with --raw, from the folder of a layout) and defines a VM,
/// which is not started. Returns the VM's name, or its UUID with --print-uuid.
std::string import_image(const CommandTools& tools, const ImportRequest& request);

/// `pull`: fetches and imports.
std::string pull_image(const CommandTools& tools, const PullRequest& request);

}  // namespace sarde
