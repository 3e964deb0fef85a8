// What QEMU would refuse to open must be refused before it is asked to.
#include <cstdlib>
#include <random>

#include <doctest/doctest.h>

#include "core/image/disk/qcow2_header.hpp"
#include "core/system/files.hpp"
#include "core/system/subprocess.hpp"
#include "tests/support/check_error.hpp"
#include "tests/support/run_tool.hpp"
#include "tests/support/temp_folder.hpp"

using namespace sarde;

namespace {

bool qemu_opens(const std::filesystem::path& file) {
  SystemClock clock;
  Cancellation cancellation;
  return run_program(
             {.argv = {"qemu-img", "info", "-U", file.string()}, .environment = {{"PATH", "/usr/bin:/bin"}}},
             {.clock = clock,
              .cancellation = cancellation,
              .deadline = clock.now() + std::chrono::seconds(20)})
      .succeeded();
}

bool we_accept(const std::filesystem::path& file) {
  try {
    return read_qcow2_header(file).has_value();
  } catch (const Error& error) {
    CHECK(error.blame() == Blame::job);
    return false;
  }
}

}  // namespace

TEST_CASE("qcow2: a header that is accepted is one that QEMU opens") {
  const sarde::testing::TestFolder folder;
  const auto file = folder / "disk.qcow2";
  sarde::testing::run_tool({"qemu-img", "create", "-q", "-f", "qcow2", file.string(), "64M"});
  const auto good = read_file(file);
  REQUIRE(we_accept(file));
  REQUIRE(qemu_opens(file));

  struct Field {
    std::size_t at;
    std::size_t size;
  };

  const std::vector<Field> fields{{4, 4},  {8, 8},   {16, 4},  {20, 4},  {24, 8}, {32, 4}, {36, 4},
                                  {40, 8}, {48, 8},  {56, 4},  {60, 4},  {64, 8}, {72, 8}, {80, 8},
                                  {96, 4}, {100, 4}, {104, 1}, {112, 4}, {116, 4}};
  std::mt19937_64 random(20261125);
  int accepted = 0;
  int refused = 0;
  for (const auto& field : fields) {
    for (const std::uint64_t value :
         {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{7}, std::uint64_t{9}, std::uint64_t{64},
          std::uint64_t{0x10000}, std::uint64_t{1} << 30U, UINT64_MAX, random()}) {
      auto bytes = good;
      for (std::size_t i = 0; i < field.size; ++i)
        bytes[field.at + field.size - 1 - i] = static_cast<char>(value >> (8 * i));
      write_file(file, bytes, 0600);
      CAPTURE(field.at);
      CAPTURE(value);
      if (we_accept(file)) {
        ++accepted;
        CHECK(qemu_opens(file));
      } else {
        ++refused;
      }
    }
  }
  CHECK(accepted > 20);
  CHECK(refused > 50);
}
