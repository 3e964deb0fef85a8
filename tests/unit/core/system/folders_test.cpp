#include <sys/stat.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "core/system/environment.hpp"
#include "core/system/files.hpp"
#include "tests/support/check_error.hpp"
#include "tests/support/temp_folder.hpp"

using namespace sarde;
using sarde::testing::check_error;
using sarde::testing::TestFolder;

namespace {

mode_t mode_of(const std::filesystem::path& path) {
  struct stat status {};

  CHECK(::lstat(path.c_str(), &status) == 0);
  return status.st_mode & 07777U;
}

}  // namespace

TEST_CASE(
    "folders: made with exactly their mode, those above can only be passed through, whatever the umask") {
  const TestFolder folder;
  for (const mode_t mask : {0000U, 0077U}) {
    const auto before = ::umask(mask);
    const auto path = folder / ("m" + std::to_string(mask)) / "above" / "it";
    make_folders(path, 0750);
    ::umask(before);
    CHECK(mode_of(path) == 0750);
    CHECK(mode_of(path.parent_path()) == 0711);
  }
}

TEST_CASE("folders: what is there stays as it is, and no link is followed to change what it points to") {
  const TestFolder folder;
  const auto victim = folder / "victim";
  make_folders(victim, 0700);
  std::filesystem::create_symlink(victim, folder / "link");
  make_folders(folder / "link", 0755);
  CHECK(mode_of(victim) == 0700);
  make_folders(folder / "link" / "below", 0750);  // an administrator's link is a way like any other
  CHECK(mode_of(victim / "below") == 0750);
  CHECK(mode_of(victim) == 0700);
  std::filesystem::create_symlink(folder / "nowhere", folder / "dangling");
  check_error(Blame::host, "make folder", [&] { make_folders(folder / "dangling", 0755); });
  CHECK_FALSE(std::filesystem::exists(folder / "nowhere"));
  write_file(folder / "file", "", 0600);
  check_error(Blame::host, "make folder", [&] { make_folders(folder / "file" / "x", 0700); });
  std::filesystem::create_symlink(folder / "file", folder / "to-file");
  check_error(Blame::host, "open", [&] { set_mode(folder / "to-file", 0644); });
  CHECK(mode_of(folder / "file") == 0600);
  set_mode(folder / "file", 0440, ::getegid());
  CHECK(mode_of(folder / "file") == 0440);
}

TEST_CASE("folders: what vanishes or never was is no entry") {
  const TestFolder folder;
  CHECK(folder_entries(folder / "none").empty());
  write_file(folder / "b", "", 0600);
  write_file(folder / "a", "", 0600);
  CHECK(folder_entries(folder.path()) == std::vector<std::filesystem::path>{folder / "a", folder / "b"});
}

TEST_CASE("environment: helpers see no job's variables") {
  const Environment all(Variables{{"PATH", "/bin"},
                                  {"HOME", "/h"},
                                  {"CUSTOM_ENV_SECRET", "x"},
                                  {"JOB_RESPONSE_FILE", "/f"},
                                  {"CI_JOB_TOKEN", "t"},
                                  {"TMPDIR", "/t"},
                                  {"LD_PRELOAD", "/evil"},
                                  {"https_proxy", "p"},
                                  {"XDG_RUNTIME_DIR", "/run/user/1"},
                                  {"SARDE_PASSWORD", "p"},
                                  {"REGISTRY_AUTH_FILE", "/a"}});
  CHECK(all.for_helpers().all() == Variables{{"PATH", "/bin"},
                                             {"HOME", "/h"},
                                             {"https_proxy", "p"},
                                             {"XDG_RUNTIME_DIR", "/run/user/1"},
                                             {"REGISTRY_AUTH_FILE", "/a"}});
}
