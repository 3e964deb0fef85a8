#include "executor/job/credential_chain.hpp"

#include "core/image/registry/registry_auth.hpp"
#include "core/job/job_environment.hpp"
#include "core/system/files.hpp"

namespace sarde {

namespace {

/// The login with the longest key that covers the image; null if no key does.
const RegistryLogin* login_for(const ImageReference& reference, const std::vector<RegistryLogin>& logins) {
  const RegistryLogin* best = nullptr;
  for (const auto& login : logins) {
    if (is_for(login.key, reference) && (best == nullptr || login.key.size() > best->key.size()))
      best = &login;
  }
  return best;
}

DockerAuth docker_auth_of(const Job& job, Reporter& reporter) {
  if (job.docker_auth_config.empty()) return {};
  auto docker = parse_docker_auth(job.docker_auth_config);
  if (docker.names_helpers)
    reporter.warn(
        "WARNING: DOCKER_AUTH_CONFIG names credential helpers; they are ignored, because they would run on "
        "the runner's machine");
  return docker;
}

}  // namespace

ChosenAccess choose_access(const ImageReference& reference, const Job& job,
                           const std::filesystem::path& authfile, Registry& registry, Reporter& reporter) {
  const auto docker = docker_auth_of(job, reporter);
  for (const auto* login : {login_for(reference, docker.logins), login_for(reference, job.logins)}) {
    if (login == nullptr) continue;
    write_registry_auth(authfile, reference.asked_registry(), login->auth);
    const RegistryAccess access{.authfile = authfile};
    try {
      return {.access = access, .announced = registry.announce(reference, access)};
    } catch (const AccessDenied& error) {
      reporter.say(std::string("The job's credentials were not accepted: ") + error.what());
    }
  }
  remove_if_there(authfile);
  return {.access = {}, .announced = registry.announce(reference, {})};
}

}  // namespace sarde
