#include "executor/job/image_choice.hpp"

#include <doctest/doctest.h>

#include "tests/support/check_error.hpp"

using namespace sarde;
using sarde::testing::check_error;

namespace {

ImageRules rules() {
  return {.default_image = "small",
          .aliases = {{"small", "h.example/vms/small:1"}, {"big", "small"}},
          .pull_policies = {"always", "never"},
          .allowed_policies = {"if-not-present"}};
}

Job job_with(const std::string& image) {
  return {.id = "1", .distinction = "d", .image = image, .pull_policies = {}, .logins = {}, .project = {}};
}

}  // namespace

TEST_CASE("image choice: an alias stands for one image, and not for another alias") {
  CHECK(choose_image(job_with(""), rules()).reference.text() == "h.example/vms/small:1");
  CHECK(choose_image(job_with("small"), rules()).reference.text() == "h.example/vms/small:1");
  CHECK(choose_image(job_with("big"), rules()).reference.text() == "small");
}

TEST_CASE("image choice: rules judge what an alias stands for, by every name of it") {
  auto strict = rules();
  strict.allowed_images = {"h.example/vms/*"};
  CHECK(choose_image(job_with("small"), strict).reference.text() == "h.example/vms/small:1");
  check_error(Blame::job, "allow-image lists only 'h.example/vms/*'",
              [&] { choose_image(job_with("other.example/a"), strict); });
  strict.denied_images = {"**:1"};
  check_error(Blame::job, "deny-image lists '**:1'", [&] { choose_image(job_with("small"), strict); });
  // A digest decides, whatever the tag beside it says.
  strict.denied_images = {};
  strict.allowed_images = {"h.example/vms/small:1"};
  check_error(Blame::job, "is not allowed", [&] {
    choose_image(job_with("h.example/vms/small:1@sha256:" + std::string(64, 'a')), strict);
  });
}

TEST_CASE("image choice: a job's pull policies keep their order, and lose what is not allowed") {
  auto job = job_with("small");
  CHECK(choose_image(job, rules()).policies == std::vector<std::string>{"always", "never"});
  job.pull_policies = {"if-not-present", "sometimes", "always"};
  CHECK(choose_image(job, rules()).policies == std::vector<std::string>{"if-not-present", "always"});
  job.pull_policies = {"sometimes"};
  check_error(Blame::job, "allows only 'always, never, if-not-present'", [&] { choose_image(job, rules()); });
}

TEST_CASE("image choice: an image of Docker Hub is denied by each of its spellings") {
  auto strict = rules();
  for (const auto* pattern : {"debian", "library/debian", "docker.io/debian", "docker.io/library/debian"}) {
    strict.denied_images = {pattern};
    for (const auto* image :
         {"debian", "library/debian:12", "docker.io/debian", "index.docker.io/library/debian"}) {
      CAPTURE(pattern);
      CAPTURE(image);
      check_error(Blame::job, "deny-image lists", [&] { choose_image(job_with(image), strict); });
    }
  }
  strict.denied_images = {"bitnami/*"};
  check_error(Blame::job, "deny-image lists", [&] { choose_image(job_with("docker.io/bitnami/a"), strict); });
  CHECK_NOTHROW(choose_image(job_with("h.example/bitnami/a"), strict));
}

TEST_CASE("image choice: VMs of the host are for jobs that the administrator lets have them") {
  auto some = rules();
  check_error(Blame::job, "only if allow-image lists it", [&] { choose_image(job_with("vm:Win 11"), some); });
  some.aliases["win"] = "vm:Win 11";
  const auto choice = choose_image(job_with("win"), some);
  CHECK(choice.vm == "Win 11");
  CHECK(choice.reference.text() == "localhost/vm/win-11");
  CHECK(choice.policies == std::vector<std::string>{"never"});
  some.allowed_images = {"h.example/**"};
  check_error(Blame::job, "allow-image lists only", [&] { choose_image(job_with("win"), some); });
  check_error(Blame::job, "allow-image lists only", [&] { choose_image(job_with("vm:Win 11"), some); });
  some.allowed_images = {"h.example/**", "vm:Win*"};
  CHECK(choose_image(job_with("vm:Win 11"), some).vm == "Win 11");
  some.denied_images = {"vm:*"};
  check_error(Blame::job, "deny-image lists 'vm:*'", [&] { choose_image(job_with("win"), some); });
  check_error(Blame::job, "write vm:NAME", [&] { choose_image(job_with("localhost/vm/win-11:abc"), rules()); });
}
