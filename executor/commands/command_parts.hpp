#pragma once

#include "config/settings.hpp"
#include "core/foundation/reporter.hpp"
#include "core/foundation/source.hpp"
#include "core/image/registry/registry.hpp"
#include "core/image/store/image_store.hpp"
#include "core/system/environment.hpp"
#include "core/vm/hypervisor.hpp"
#include "executor/job/job_resources.hpp"

namespace sarde {

/// What commands work with. Each command is a function in a file of its own; it returns what goes to stdout.
struct CommandParts {
  const Settings& settings;
  const Environment& environment;
  const ImageStore& images;
  Registry& registry;
  Source<Hypervisor> hypervisor;
  Clock& clock;
  Cancellation& cancellation;
  Reporter& reporter;
  std::vector<std::filesystem::path>
      jobsdirs;  ///< where jobs' folders may be: the commands' and the stages' setting
  unsigned threads = 1;

  /// " (3.2 s)"
  [[nodiscard]] std::string since(TimePoint start) const;

  /// A DiskProgress, or a RegistryAccess's, that shows how far `doing` is.
  [[nodiscard]] std::function<void(std::uint64_t, std::uint64_t)> progress(std::string doing) const;
};

}  // namespace sarde
