#include "core/vm/passt.hpp"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "core/system/companion.hpp"
#include "core/system/files.hpp"
#include "tests/support/temp_folder.hpp"

using namespace sarde;
using sarde::testing::TestFolder;

TEST_CASE(
    "passt: what its account put in place of the pid's file ends no other process, and holds nobody up") {
  const TestFolder folder;
  const auto file = folder / "passt.pid";
  SUBCASE("a pipe that nobody writes to") {
    REQUIRE(::mkfifo(file.c_str(), 0666) == 0);
  }
  SUBCASE("a link to something endless") {
    std::filesystem::create_symlink("/dev/zero", file);
  }
  SUBCASE("a folder") {
    make_folders(file, 0700);
  }
  SUBCASE("this process") {
    write_file(file, std::to_string(::getpid()), 0600);
  }
  SUBCASE("every process") {
    write_file(file, "-1", 0600);
  }
  SUBCASE("init") {
    write_file(file, "1\n", 0600);
  }
  SUBCASE("a number that is none") {
    write_file(file, std::string(100'000, '9'), 0600);
  }
  SUBCASE("nothing") {}
  CHECK_NOTHROW(stop_passt(folder.path()));
  CHECK_FALSE(std::filesystem::exists(folder.path().string() + ".process"));
}

TEST_CASE("companion: the process that was noted ends, and no other that has its number") {
  const TestFolder folder;
  const pid_t child = ::fork();
  if (child == 0) {
    ::execlp("sleep", "sleep", "60", nullptr);
    ::_exit(127);
  }
  // Until then it has this program's own handlers of signals.
  const auto name_file = "/proc/" + std::to_string(child) + "/comm";
  while (read_proc_file(name_file) != "sleep\n") ::usleep(1000);
  auto process = identity_of(child);
  REQUIRE(process);
  SUBCASE("it ends") {
    note_companion(folder / "record", *process);
    // Its parent is this test, which has to take its end: until then it is a zombie, and has ended.
    CHECK_NOTHROW(end_companion(folder / "record"));
    CHECK(life_of(*process) == ProcessLife::ended);
  }
  SUBCASE("another one, started at another time") {
    process->start = "1";
    note_companion(folder / "record", *process);
    CHECK_NOTHROW(end_companion(folder / "record"));
    CHECK(life_of(*identity_of(child)) == ProcessLife::lives);
  }
  SUBCASE("a record that is none") {
    write_file(folder / "record", "-1", 0600);
    CHECK_NOTHROW(end_companion(folder / "record"));
    CHECK_NOTHROW(end_companion(folder / "missing"));
    CHECK(life_of(*identity_of(child)) == ProcessLife::lives);
  }
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
}
