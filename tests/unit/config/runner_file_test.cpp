#include "config/runner_file.hpp"

#include <fstream>

#include <doctest/doctest.h>

#include "core/system/temp_files.hpp"

using namespace sarde;

TEST_CASE("runner file: what gitlab-runner's config.toml says of the custom executor") {
  const auto folder = TempFolder::in("/tmp", "sarde-test-", 0700);
  const auto path = folder.path() / "config.toml";
  std::ofstream(path) << "concurrent = 4\n[[runners]]\nname = \"vm\"\nexecutor = \"custom\"\nlimit = 2\n"
                         "builds_dir = \"/b\"\ncache_dir = \"/c\"\n[runners.custom]\nprepare_exec = "
                         "\"/usr/bin/sarde-executor\"\n"
                         "prepare_exec_timeout = 600\n[[runners]]\nname = \"other\"\nexecutor = \"shell\"\n";
  const auto file = read_runner_file(path);
  REQUIRE(file);
  CHECK(file->concurrent == 4);
  REQUIRE(file->runners.size() == 2);
  const auto& runner = file->runners[0];
  CHECK((runner.name == "vm" && runner.executor == "custom"));
  CHECK(runner.programs[1] == std::pair<std::string, std::string>("prepare", "/usr/bin/sarde-executor"));
  CHECK(runner.timeouts.at(0).second == std::chrono::seconds(600));
  std::ofstream(path) << "concurrent = [";
  CHECK_THROWS(read_runner_file(path));
  CHECK_FALSE(read_runner_file(folder.path() / "none"));
}

TEST_CASE("runner file: where it is") {
  const Environment environment(std::map<std::string, std::string>{{"HOME", "/home/ci"}});
  CHECK(runner_file_path({"gitlab-runner", "run", "-c", "/x.toml"}, environment, true) == "/x.toml");
  CHECK(runner_file_path({"gitlab-runner", "--config=/y.toml"}, environment, false) == "/y.toml");
  CHECK(runner_file_path({}, environment, true) == "/etc/gitlab-runner/config.toml");
  CHECK(runner_file_path({"x", "--config"}, environment, false) == "/home/ci/.gitlab-runner/config.toml");
}
