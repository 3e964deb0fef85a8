#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "core/job/job.hpp"
#include "core/job/job_record.hpp"
#include "core/system/environment.hpp"

namespace sarde {

/// How failures are reported to gitlab-runner (executors/custom/command/command.go).
struct RunnerExits {
  int build_failure = 1;
  int system_failure = 2;
  std::optional<std::filesystem::path> build_exit_code_file;
  bool are_given = false;  ///< gitlab-runner has started this process
};

/// The job that the environment describes. It is read from JOB_RESPONSE_FILE (gitlab-runner 14.1 and newer)
/// or, outside a runner and for manual tests, from CI_JOB_ID and CI_JOB_IMAGE. CUSTOM_ENV_* is not read,
/// because the job's author can set it. Returns nothing if no job can be determined because JOB_RESPONSE_FILE
/// is empty, which `cleanup` can encounter after an early failure. Throws Error.
std::optional<Job> job_in(const Environment& environment);

/// The job in the text of JOB_RESPONSE_FILE (gitlab-runner, common/network.go: JobResponse). Throws an Error
/// that names `what`.
Job parse_job_response(std::string_view text, const std::string& what);

/// The contents of DOCKER_AUTH_CONFIG, which has the format of docker's config.json.
struct DockerAuth {
  std::vector<RegistryLogin> logins;
  bool names_helpers = false;  ///< whether it names credential helpers, which are not run here
};

/// If the text is not JSON, throws an Error with the job at fault. The message does not contain the text.
DockerAuth parse_docker_auth(const Secret& text);

/// The owner of the job. Returns nothing if this program was not called by a runner, or if the runner cannot
/// be determined. Throws Error if the runner that called this program has ended.
std::optional<JobOwner> owner_of_job(const Environment& environment);

RunnerExits runner_exits_in(const Environment& environment);

}  // namespace sarde
