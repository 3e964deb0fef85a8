#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "executor/commands/removal_outcome.hpp"

namespace sarde {

struct PruneRequest {
  RemovalRequest how;
  std::optional<std::chrono::seconds> older_than = {};
  std::optional<std::uint64_t> budget = {};  ///< bytes
  bool scheduled = false;                    ///< nothing is done as long as neither of the two is set
};

/// `prune`: removes unreferenced blobs and images that have not been used for `older_than`; then, starting
/// with the images unused for longest, removes more until the rest fits into `budget`. Never removes an image
/// that a VM or a job uses. Returns the names of the images that were removed.
std::string prune_images(const CommandTools& tools, const PruneRequest& request);

}  // namespace sarde
