#pragma once

#include <filesystem>

#include "core/foundation/reporter.hpp"
#include "core/image/registry/registry.hpp"
#include "core/job/job.hpp"

namespace sarde {

/// The credentials to use at the registry, and what the registry announced when it was asked with them.
struct ChosenAccess {
  RegistryAccess access;
  AnnouncedImage announced;
};

/// The first credentials that the registry accepts for the image. Tried in this order: those in
/// DOCKER_AUTH_CONFIG, those that the runner gave the job, this machine's own. Each is tried, because a job's
/// token may be valid only for the images of its own project. A job's credentials are written to `authfile`,
/// which exists afterwards only if they were chosen. Throws what Registry::announce() throws.
ChosenAccess choose_access(const ImageReference& reference, const Job& job,
                           const std::filesystem::path& authfile, Registry& registry, Reporter& reporter);

}  // namespace sarde
