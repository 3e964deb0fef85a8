#include "config/sardinecake_ini.hpp"

#include <doctest/doctest.h>

#include "config/settings_files.hpp"
#include "config/values.hpp"
#include "core/system/files.hpp"
#include "tests/support/check_error.hpp"
#include "tests/support/temp_folder.hpp"

using namespace sarde;
using sarde::testing::check_error;
using sarde::testing::TestFolder;

namespace {

const std::set<std::string> commands{"list", "login", "import", "prepare"};

IniSettings read(const std::string& text, IniKind kind, const std::string& name = "x.ini") {
  const TestFolder folder;
  write_file(folder / name, text, 0644);
  return read_ini_settings(folder / name, kind, commands);
}

}  // namespace

TEST_CASE("sardinecake's ini: the executor's sections are images, DEFAULT counts for all") {
  const auto read_it = read(
      "[DEFAULT]\nclonedir = /clones\ntimeout = 60\nguest_builds_dir = /b\nverbosity = 0\nomit-backingstore "
      "= yes\n"
      "[reg.example.org/sardines/debian*]\nusername = deb\nvmdir = /fast\n",
      IniKind::executor);
  CHECK(read_it.notes.empty());
  const ValueSources sources{
      .file = read_it.file, .command = "prepare", .image = {"reg.example.org/sardines/debian12"}};
  const auto settings = Values(sources, Environment(), true);
  CHECK(settings.get<"jobsdir">() == "/clones");
  CHECK(settings.get<"boot-timeout">() == std::chrono::seconds(60));
  CHECK(settings.get<"address-timeout">() == std::chrono::seconds(60));
  CHECK(settings.get<"guest-builds-dir">() == "/b");
  CHECK(settings.get<"verbosity">() == 1);
  CHECK(settings.get<"vmdir">() == "/fast");
  CHECK(settings.of_image().get<"username">() == "deb");
  CHECK(settings.of_others().get<"username">() == "vagrant");
}

TEST_CASE("sardinecake's ini: sarde's sections are commands, which inherit DEFAULT") {
  const auto found = read(
      "[DEFAULT]\nconnect = qemu:///x\nusername = me\nprint-uuid = True\n[list]\nconnect = qemu:///y\nformat "
      "= json\n",
      IniKind::sarde);
  const auto resolve = [&](const std::string& command) {
    return Values({.file = found.file, .command = command}, Environment(), true);
  };
  CHECK(resolve("import").get<"connect">() == "qemu:///x");
  CHECK(resolve("import").get<"print-uuid">());
  CHECK(resolve("list").get<"connect">() == "qemu:///y");
  CHECK(resolve("list").get<"format">() == "json");
  CHECK(resolve("login").of_call().get<"username">() == "me");
  CHECK(resolve("prepare").of_others().get<"username">() == "vagrant");
}

TEST_CASE("sardinecake's ini: what has no meaning is noted, what does not fit is refused") {
  const auto found = read("[DEFAULT]\nnonsense = 1\n[frobnicate]\nconnect = x\n", IniKind::sarde);
  REQUIRE(found.notes.size() == 2);
  CHECK(found.notes[0].find("x.ini, line 2: there is no option 'nonsense'") != std::string::npos);
  CHECK(found.notes[1].find("line 3: there is no command 'frobnicate'") != std::string::npos);
  check_error(Blame::job, "x.ini, line 2: boot-timeout",
              [] { read("[DEFAULT]\nboot-timeout = soon\n", IniKind::sarde); });
}

TEST_CASE("sardinecake's ini: as TOML it says the same") {
  const auto found = read(
      "[DEFAULT]\nclonedir = /clones\nverbosity = 1\ninsecure-registries = a:1, b:2\n"
      "[reg/\"odd\\name\"]\npassword = p\"q\n",
      IniKind::executor);
  const TestFolder folder;
  write_file(folder / "x.toml", to_toml(found.file), 0644);
  const auto again = read_settings_file(folder / "x.toml", commands);
  CHECK(again.top.at("jobsdir").items == found.file.top.at("jobsdir").items);
  CHECK(again.top.at("verbosity").items == std::vector<std::string>{"2"});
  CHECK(again.top.at("insecure-registries").items == std::vector<std::string>{"a:1", "b:2"});
  CHECK(again.images.at("reg/\"odd\\name\"").at("password").items.front() == "p\"q");
}

TEST_CASE("settings files: TOML comes before INI, which is said; a list of files is taken as it is") {
  const TestFolder home;
  make_folders(home / ".config/sardinecake", 0755);
  make_folders(home / ".config/gitlab-runner", 0755);
  write_file(home / ".config/sardinecake/sarde.ini", "[DEFAULT]\nocidir = /from-sarde-ini\n", 0644);
  write_file(home / ".config/gitlab-runner/gitlab-sardinecake-executor.ini",
             "[DEFAULT]\nocidir = /from-executor-ini\n", 0644);
  const auto ocidir = [&](SettingsUser user, Variables more = {}) {
    more["HOME"] = home.path().string();
    auto found = read_settings_files(Environment(more), commands, user);
    return std::pair{found.file.top.contains("ocidir") ? found.file.top.at("ocidir").items.front() : "",
                     found.notes};
  };
  CHECK(ocidir(SettingsUser::command).first == "/from-sarde-ini");
  CHECK(ocidir(SettingsUser::job_stage).first == "/from-executor-ini");
  write_file(home / ".config/sardinecake/sarde.toml", "ocidir = \"/from-toml\"\n", 0644);
  const auto [both, notes] = ocidir(SettingsUser::job_stage);
  CHECK(both == "/from-toml");
  REQUIRE(notes.size() == 1);
  CHECK(notes[0].find("executor.ini is ignored, because there is") != std::string::npos);
  const auto list = (home / ".config/sardinecake/sarde.ini").string() + ":/nonexistent.ini";
  CHECK(ocidir(SettingsUser::command, {{"SARDE_CONF_FILES", list}}).first == "/from-sarde-ini");
  CHECK(ocidir(SettingsUser::command, {{"SARDE_CONF_FILES", list}}).second.size() == 1);
  CHECK(ocidir(SettingsUser::job_stage, {{"GITLAB_SARDINECAKE_EXECUTOR_CONF_FILES", list}}).first ==
        "/from-sarde-ini");
  CHECK(ocidir(SettingsUser::command, {{"GITLAB_SARDINECAKE_EXECUTOR_CONF_FILES", list}}).first ==
        "/from-toml");
}
