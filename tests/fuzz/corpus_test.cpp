// Replays the corpus: what once was a finding, and what leads deep into each parser.
#include <doctest/doctest.h>

#include "core/system/files.hpp"
#include "tests/fuzz/targets.hpp"

namespace fs = std::filesystem;

TEST_CASE("fuzz: every file of the corpus is read, or refused by Error") {
  for (const auto& target : sarde::fuzz::targets()) {
    std::size_t files = 0;
    for (const auto& file :
         fs::directory_iterator(fs::path(SARDE_SOURCE_DIR) / "tests/fuzz/corpus" / target.name)) {
      CAPTURE(file.path().string());
      const auto text = sarde::read_file(file.path());
      CHECK_NOTHROW(target.run({reinterpret_cast<const unsigned char*>(text.data()), text.size()}));
      ++files;
    }
    CAPTURE(target.name);
    CHECK(files > 0);
  }
}
