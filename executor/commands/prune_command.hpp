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
};

/// `prune`: removes unreferenced blobs, images unused for `older-than`, then those unused for longest until
/// all fits `budget`; never an image that a VM or job uses. Returns the names of what was removed.
std::string prune_images(const CommandTools& tools, const PruneRequest& request);

}  // namespace sarde
