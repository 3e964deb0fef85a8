#include "core/vm/passt.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <doctest/doctest.h>

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
}
