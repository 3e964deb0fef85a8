#include "executor/wiring/exit_codes.hpp"

#include <doctest/doctest.h>

#include "core/system/files.hpp"
#include "tests/support/temp_folder.hpp"

using namespace sarde;

TEST_CASE("exit codes: the script's number goes into the file, and only when it is not 0") {
  const sarde::testing::TestFolder folder;
  const auto file = folder / "code";
  const ExitCodes codes({.build_failure = 11, .system_failure = 12, .build_exit_code_file = file});
  CHECK(codes.of(ScriptExited{0}) == 0);
  CHECK_FALSE(std::filesystem::exists(file));
  CHECK(codes.of(ScriptExited{37}) == 11);
  CHECK(read_file(file) == "37");
  codes.forget_earlier_failure();
  CHECK_FALSE(std::filesystem::exists(file));
  codes.forget_earlier_failure();
  CHECK(codes.of(ScriptExited{static_cast<std::int32_t>(3221225786U)}) == 11);
  CHECK(read_file(file) == "-1073741510");
  CHECK(codes.of(ScriptKilled{"KILL"}) == 11);
  CHECK(read_file(file) == "137");
  CHECK(codes.of(ScriptStopped{}) == 12);
  CHECK(codes.of(Blame::job) == 11);
  CHECK(codes.of(Blame::host) == 12);
}
