#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "core/job/job.hpp"
#include "core/job/job_record.hpp"
#include "core/system/environment.hpp"

namespace sarde {

/// How gitlab-runner wants to hear of failures (executors/custom/command/command.go).
struct RunnerExits {
  int build_failure = 1;
  int system_failure = 2;
  std::optional<std::filesystem::path> build_exit_code_file;
};

/// The job that the environment describes. From JOB_RESPONSE_FILE (gitlab-runner 14.1 and newer); outside a
/// runner, to try things by hand, from CI_JOB_ID and CI_JOB_IMAGE. CUSTOM_ENV_* is the job author's to set,
/// and is not asked. Nothing if there is no job to be seen: JOB_RESPONSE_FILE empty, as `cleanup` can get it
/// after an early failure. Throws Error.
std::optional<Job> job_in(const Environment& environment);

/// The job in JOB_RESPONSE_FILE's text (gitlab-runner, common/network.go: JobResponse). Throws Error naming
/// `what`.
Job parse_job_response(std::string_view text, const std::string& what);

/// What DOCKER_AUTH_CONFIG says, which has the form of docker's config.json.
struct DockerAuth {
  std::vector<RegistryLogin> logins;
  bool names_helpers = false;  ///< programs that would be run here for credentials: they are not
};

/// Throws Error, the job's fault and without the text, if it is no JSON.
DockerAuth parse_docker_auth(const Secret& text);

/// Whose job it is; nothing where no runner called us, or it cannot be told which. Throws Error where the
/// runner that called us has ended.
std::optional<JobOwner> owner_of_job(const Environment& environment);

RunnerExits runner_exits_in(const Environment& environment);

}  // namespace sarde
