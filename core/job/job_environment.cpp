#include "core/job/job_environment.hpp"

#include <algorithm>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "core/foundation/base64.hpp"
#include "core/foundation/digest.hpp"
#include "core/foundation/error.hpp"
#include "core/foundation/json_text.hpp"
#include "core/foundation/text.hpp"
#include "core/system/files.hpp"

namespace sarde {

using nlohmann::json;

namespace {

/// A member of an object, whatever the object is; null where it is missing.
json member(const json& value, const char* name) {
  return value.is_object() && value.contains(name) ? value[name] : json();
}

std::string text_member(const json& value, const char* name) {
  const auto found = member(value, name);
  return found.is_string() ? found.get<std::string>() : std::string();
}

Secret auth_of(const json& login) {
  return Secret(to_base64(text_member(login, "username") + ":" + text_member(login, "password")));
}

std::vector<RegistryLogin> logins_in(const json& credentials) {
  std::vector<RegistryLogin> logins;
  for (const auto& one : credentials) {
    if (text_member(one, "type") != "registry") continue;
    logins.push_back({.key = text_member(one, "url"), .auth = auth_of(one)});
  }
  return logins;
}

/// Of the GitLab server and the project's number there: two servers may have projects of the same number.
std::string project_key(std::string_view repository, const json& project_id) {
  if (!project_id.is_number_integer()) return "";
  constexpr std::string_view scheme_end = "://";
  if (const auto at = repository.find(scheme_end); at != std::string_view::npos)
    repository.remove_prefix(at + scheme_end.size());
  auto host = repository.substr(0, repository.find('/'));
  host.remove_prefix(std::min(host.size(), host.rfind('@') + 1));  // the job's token, which changes
  return project_id.dump() + "-" +
         Digest::of(std::string(host) + "\n" + project_id.dump()).hex().substr(0, 8);
}

bool is_variable_name(std::string_view name) {
  constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
  return !name.empty() && letters.find(name.front()) != std::string_view::npos &&
         name.find_first_not_of(std::string(letters) + "0123456789") == std::string_view::npos;
}

/// As GitLab says which are shown to everybody (gitlab-runner, common/variables.go). Their number and size
/// are bounded, because they become a part of a script.
std::vector<std::pair<std::string, std::string>> public_variables_in(const json& variables) {
  constexpr std::size_t largest = 64U << 10U;
  constexpr std::size_t most = 1000;
  std::vector<std::pair<std::string, std::string>> found;
  const auto is_set = [](const json& variable, const char* key) {
    const auto value = member(variable, key);
    return value.is_boolean() && value.get<bool>();
  };
  for (const auto& variable : variables) {
    const auto name = text_member(variable, "key");
    const auto value = text_member(variable, "value");
    if (!is_set(variable, "public") || is_set(variable, "masked") || is_set(variable, "file")) continue;
    // Others, PATH for example, would change what the administrator's scripts do.
    if (!name.starts_with("CI_") && !name.starts_with("GITLAB_")) continue;
    if (!is_variable_name(name) || value.size() > largest || value.find('\0') != std::string::npos) continue;
    if (found.size() < most) found.emplace_back(name, value);
  }
  return found;
}

}  // namespace

Job parse_job_response(std::string_view text, const std::string& what) {
  const auto response = parse_json(text, what);
  const auto id = member(response, "id");
  if (!id.is_number_integer() || id.get<std::int64_t>() < 0)
    throw Error("read " + what + ": it has no job id");
  const auto image = member(response, "image");
  const auto info = member(response, "job_info");
  const auto timeout = member(member(response, "runner_info"), "timeout");
  Job job{.id = std::to_string(id.get<std::uint64_t>()),
          .distinction = {},
          .image = text_member(image, "name"),
          .pull_policies = {},
          .logins = logins_in(member(response, "credentials")),
          .project = text_member(info, "project_name"),
          .name = text_member(info, "name")};
  const auto project_id = member(info, "project_id");
  job.project_key = project_key(text_member(member(response, "git_info"), "repo_url"), project_id);
  job.distinction = (project_id.is_null() ? "" : project_id.dump()) + "\n" + job.project + "\n" +
                    text_member(response, "token");
  for (const auto& policy : member(image, "pull_policy")) {
    if (policy.is_string()) job.pull_policies.push_back(policy.get<std::string>());
  }
  if (timeout.is_number_integer() && timeout.get<std::int64_t>() > 0) {
    job.timeout =
        std::chrono::seconds(std::min<std::int64_t>(timeout.get<std::int64_t>(), 10 * 365 * 86400LL));
  }
  const auto services = member(response, "services");
  job.has_services = services.is_array() && !services.empty();
  job.public_variables = public_variables_in(member(response, "variables"));
  return job;
}

namespace {

constexpr std::uint64_t largest_response = 64U << 20U;

/// Are we called by a gitlab-runner? Then every job variable has come as CUSTOM_ENV_….
bool in_runner(const Environment& environment) {
  return std::ranges::any_of(environment.all(),
                             [](const auto& entry) { return entry.first.starts_with("CUSTOM_ENV_"); });
}

/// What a job may well say itself: what it cannot pull by its own credentials it does not get, and of its
/// settings the administrator chooses.
void add_variables(Job& job, const Environment& environment) {
  for (const auto* name : {"DOCKER_AUTH_CONFIG", "CUSTOM_ENV_DOCKER_AUTH_CONFIG"}) {
    if (const auto text = environment.non_empty(name)) job.docker_auth_config = Secret(*text);
  }
  constexpr std::string_view prefix = "CUSTOM_ENV_SARDE_";
  for (const auto& [name, value] : environment.all()) {
    if (name.starts_with(prefix)) job.settings[name.substr(prefix.size())] = value;
  }
}

int exit_code_in(const Environment& environment, const char* name, int otherwise) {
  const auto number = parse_number(environment.get(name).value_or(""));
  return number && *number > 0 && *number < 256 ? static_cast<int>(*number) : otherwise;
}

}  // namespace

std::optional<Job> job_in(const Environment& environment) {
  if (const auto path = environment.get("JOB_RESPONSE_FILE")) {
    if (path->empty()) return std::nullopt;
    auto job = parse_job_response(read_file(*path, largest_response), "JOB_RESPONSE_FILE " + *path);
    add_variables(job, environment);
    return job;
  }
  if (in_runner(environment)) {
    throw Error(
        "find out which job this is: JOB_RESPONSE_FILE is not set; gitlab-runner 14.1 or newer is needed");
  }
  const auto id = environment.non_empty("CI_JOB_ID");
  if (!id) return std::nullopt;
  if (!parse_number(*id)) throw Error(Blame::job, "CI_JOB_ID is " + quote(*id) + ", which is not a number");
  return Job{.id = *id,
             .distinction = {},
             .image = environment.get("CI_JOB_IMAGE").value_or(""),
             .pull_policies = {},
             .logins = {},
             .project = {}};
}

std::optional<JobOwner> owner_of_job(const Environment& environment) {
  const auto response_file = environment.non_empty("JOB_RESPONSE_FILE");
  auto runner = response_file ? starter_of_our_group() : std::nullopt;
  // A process whose parent has ended is another's child. Then the runner's ends of our pipes are closed, too.
  if (response_file && is_read_by_nobody(STDERR_FILENO))
    throw Error("the runner that called this has ended: nobody needs the VM any more");
  if (!runner) return std::nullopt;
  return JobOwner{.runner = std::move(*runner), .response_file = *response_file};
}

DockerAuth parse_docker_auth(const Secret& text) {
  const std::string what = "DOCKER_AUTH_CONFIG";
  DockerAuth result;
  std::optional<std::string> odd_key;
  try {
    const auto config = parse_json(text.reveal(), what);
    result.names_helpers = !member(config, "credHelpers").empty() || !member(config, "credsStore").empty();
    const auto auths = member(config, "auths");
    if (!auths.is_object()) return result;
    for (const auto& [key, login] : auths.items()) {
      const auto auth = text_member(login, "auth");
      if (!is_base64(auth)) odd_key = key;
      result.logins.push_back({.key = key, .auth = auth.empty() ? auth_of(login) : Secret(auth)});
    }
  } catch (const Error&) {
    throw Error(Blame::job,
                "read " + what + ": it is not valid JSON; see GitLab's documentation on this variable");
  }
  if (odd_key)
    throw Error(Blame::job, "read " + what + ": the 'auth' of " + quote(*odd_key) +
                                " is not base64 of USER:PASSWORD; 'printf USER:PASSWORD | base64' makes it");
  return result;
}

RunnerExits runner_exits_in(const Environment& environment) {
  RunnerExits exits{.build_failure = exit_code_in(environment, "BUILD_FAILURE_EXIT_CODE", 1),
                    .system_failure = exit_code_in(environment, "SYSTEM_FAILURE_EXIT_CODE", 2),
                    .build_exit_code_file = {},
                    .are_given = environment.non_empty("SYSTEM_FAILURE_EXIT_CODE").has_value()};
  if (const auto file = environment.non_empty("BUILD_EXIT_CODE_FILE")) exits.build_exit_code_file = *file;
  return exits;
}

}  // namespace sarde
