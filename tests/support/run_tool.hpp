#pragma once

#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "core/system/subprocess.hpp"

namespace sarde::testing {

/// Runs a program of this machine's, for a minute at most. Returns its output; the test fails if it fails.
inline std::string run_tool(const std::vector<std::string>& argv) {
  SystemClock clock;
  Cancellation never;
  const auto result = run_program(
      {.argv = argv, .environment = {{"PATH", "/usr/bin:/bin:/usr/sbin"}, {"HOME", "/root"}}},
      {.clock = clock, .cancellation = never, .deadline = clock.now() + std::chrono::seconds(60)});
  REQUIRE_MESSAGE(result.succeeded(), result.errors);
  return result.output;
}

}  // namespace sarde::testing
