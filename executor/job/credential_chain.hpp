#pragma once

#include <filesystem>

#include "core/foundation/reporter.hpp"
#include "core/image/registry/registry.hpp"
#include "core/job/job.hpp"

namespace sarde {

/// How to reach the registry, and what it said when it was asked that way.
struct ChosenAccess {
  RegistryAccess access;
  AnnouncedImage announced;
};

/// The first credentials with which the registry lets the job have the image: those in DOCKER_AUTH_CONFIG,
/// those that the runner gave the job, this machine's own. Each is tried, because a job's token may be good
/// only for its own project's images. A job's credentials are written to `authfile`, which is there
/// afterwards only if they are the ones chosen. Throws what Registry::announce() throws.
ChosenAccess choose_access(const ImageReference& reference, const Job& job,
                           const std::filesystem::path& authfile, Registry& registry, Reporter& reporter);

}  // namespace sarde
