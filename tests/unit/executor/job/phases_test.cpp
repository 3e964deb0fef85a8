#include "executor/job/phases.hpp"

#include <doctest/doctest.h>

using namespace sarde;
using std::chrono::milliseconds;

TEST_CASE("phases: the chart's bars follow one another, and are as long as the phases") {
  const auto lines = phase_chart({{.name = "image", .time = milliseconds(1000)},
                                  {.name = "admission", .time = milliseconds(0)},
                                  {.name = "vm", .time = milliseconds(1)},
                                  {.name = "guest", .time = milliseconds(3000)}});
  REQUIRE(lines.size() == 4);
  CHECK(lines[0] == "  image     " + std::string(9, '#') + std::string(32, ' ') + "1.0 s");
  CHECK(lines[1] == "  admission " + std::string(41, ' ') + "0 ms");
  CHECK(lines[2] == "  vm        " + std::string(9, ' ') + "#" + std::string(31, ' ') + "1 ms");
  CHECK(lines[3] == "  guest     " + std::string(10, ' ') + std::string(29, '#') + "  3.0 s");
  CHECK(phase_chart({}).empty());
  CHECK(phase_chart({{.name = "vm", .time = milliseconds(0)}}).front().find('#') == std::string::npos);
}
