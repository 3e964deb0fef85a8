#include "core/image/disk/qcow2_header.hpp"

#include <algorithm>

#include <doctest/doctest.h>

#include "tests/support/check_error.hpp"

using namespace sarde;
using sarde::testing::check_error;

namespace {

/// Version 3, clusters of 64 KiB, one for the table of reference counts; all else is 0.
std::vector<unsigned char> header_of(unsigned char length, unsigned char name_at, unsigned char name_size) {
  std::vector<unsigned char> bytes(256);
  std::copy_n("QFI\xfb", 4, bytes.begin());
  bytes[7] = 3;
  bytes[15] = name_at;
  bytes[19] = name_size;
  bytes[23] = 16;
  bytes[59] = 1;
  bytes[99] = 4;
  bytes[103] = length;
  return bytes;
}

}  // namespace

TEST_CASE("qcow2: a backing file's name that overlaps the header's fields is refused") {
  CHECK(parse_qcow2_header(header_of(104, 112, 4), "x")->backing_file == std::string(4, '\0'));
  CHECK_FALSE(parse_qcow2_header(header_of(104, 0, 4), "x")->backing_file);
  check_error(Blame::job, "read the qcow2 header of x: the backing file's name lies within it",
              [] { static_cast<void>(parse_qcow2_header(header_of(104, 8, 12), "x")); });
  check_error(Blame::job, "it is too short",
              [] { static_cast<void>(parse_qcow2_header(header_of(0, 8, 12), "x")); });
}
