#include "core/job/job_environment.hpp"

#include <doctest/doctest.h>

#include "core/foundation/base64.hpp"
#include "core/foundation/text.hpp"
#include "core/system/files.hpp"
#include "tests/support/check_error.hpp"
#include "tests/support/temp_folder.hpp"

using namespace sarde;
using sarde::testing::check_error;
using sarde::testing::TestFolder;

namespace {

std::optional<Job> job_from(const std::string& response, std::map<std::string, std::string> more = {}) {
  const TestFolder folder;
  write_file(folder / "r.json", response, 0600);
  more["JOB_RESPONSE_FILE"] = (folder / "r.json").string();
  return job_in(Environment(more));
}

}  // namespace

TEST_CASE("job: comes from JOB_RESPONSE_FILE, whatever the job's variables say") {
  const auto job = job_from(
      R"({"id":5,"token":"t","image":{"name":"h.example/a:b","pull_policy":["always"]},"services":[{"name":"x"}],
    "job_info":{"name":"n","project_id":3,"project_name":"p"},"runner_info":{"timeout":60},
    "credentials":[{"type":"registry","url":"h.example","username":"u","password":"s"},{"type":"other"}]})",
      {{"CUSTOM_ENV_CI_JOB_ID", "666"}, {"CUSTOM_ENV_CI_JOB_IMAGE", "evil"}});
  REQUIRE(job);
  CHECK(job->id == "5");
  CHECK(job->image == "h.example/a:b");
  CHECK(job->pull_policies == std::vector<std::string>{"always"});
  CHECK(job->timeout == std::chrono::seconds(60));
  CHECK(job->has_services);
  REQUIRE(job->logins.size() == 1);
  CHECK(job->logins[0].auth.reveal() == to_base64("u:s"));
}

TEST_CASE("job: its author's wishes and DOCKER_AUTH_CONFIG come from its variables, all else does not") {
  const auto job =
      job_from(R"({"id":5})", {{"CUSTOM_ENV_SARDE_MEMORY", "1GiB"},
                               {"SARDE_VCPUS", "7"},
                               {"DOCKER_AUTH_CONFIG", "{}"},
                               {"CUSTOM_ENV_DOCKER_AUTH_CONFIG", R"({"auths":{"a/b":{"auth":"eA=="},
                                              "c":{"username":"u","password":"p"},"d":7},"credsStore":"x"})"}});
  REQUIRE(job);
  CHECK(job->settings == std::map<std::string, std::string>{{"MEMORY", "1GiB"}});
  const auto docker = parse_docker_auth(job->docker_auth_config);
  REQUIRE(docker.logins.size() == 3);
  CHECK(docker.logins[0].key == "a/b");
  CHECK(docker.logins[0].auth.reveal() == "eA==");
  CHECK(docker.logins[1].auth.reveal() == to_base64("u:p"));
  CHECK(docker.names_helpers);
  check_error(Blame::job, "DOCKER_AUTH_CONFIG: it is not valid JSON", [] { parse_docker_auth(Secret("{")); });
}

TEST_CASE("job: the runner's start-up check, with no image and an id near 2^63") {
  const auto job =
      job_from(R"({"id":9223372036854775807,"image":{"name":""},"services":null,"credentials":null})");
  REQUIRE(job);
  CHECK(job->id == "9223372036854775807");
  CHECK(job->image.empty());
}

TEST_CASE("job: an empty JOB_RESPONSE_FILE is no job, a broken one an error") {
  CHECK_FALSE(job_in(
      Environment(Variables{{"JOB_RESPONSE_FILE", ""}, {"CUSTOM_ENV_CI_JOB_ID", "1"}, {"CI_JOB_ID", "2"}})));
  check_error(Blame::host, "not valid JSON", [] { job_from("{"); });
  check_error(Blame::host, "no job id", [] { job_from(R"({"id":"5"})"); });
  check_error(Blame::host, "no job id", [] { job_from("[]"); });
  check_error(Blame::host, "gitlab-runner 14.1", [] {
    job_in(Environment(Variables{{"CUSTOM_ENV_CI_JOB_ID", "1"}}));
  });
}

TEST_CASE("job: by hand, CI_JOB_ID and CI_JOB_IMAGE serve") {
  const auto job = job_in(Environment(Variables{{"CI_JOB_ID", "42"}, {"CI_JOB_IMAGE", "a/b"}}));
  REQUIRE(job);
  CHECK(job->id == "42");
  CHECK(job->image == "a/b");
  CHECK_FALSE(job_in(Environment()));
  check_error(Blame::job, "not a number", [] { job_in(Environment(Variables{{"CI_JOB_ID", "../x"}})); });
}

TEST_CASE("runner exits: from the environment, 1 and 2 without") {
  const auto given = runner_exits_in(Environment(Variables{
      {"BUILD_FAILURE_EXIT_CODE", "7"}, {"SYSTEM_FAILURE_EXIT_CODE", "9"}, {"BUILD_EXIT_CODE_FILE", "/x"}}));
  CHECK(given.build_failure == 7);
  CHECK(given.system_failure == 9);
  CHECK(given.build_exit_code_file == "/x");
  const auto none = runner_exits_in(Environment(Variables{
      {"BUILD_FAILURE_EXIT_CODE", "0"}, {"SYSTEM_FAILURE_EXIT_CODE", "abc"}, {"BUILD_EXIT_CODE_FILE", ""}}));
  CHECK(none.build_failure == 1);
  CHECK(none.system_failure == 2);
  CHECK_FALSE(none.build_exit_code_file);
}
