// libFuzzer's entry; the target is chosen when it is compiled.
#include <cstddef>
#include <cstdint>

#include "tests/fuzz/targets.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto target = sarde::fuzz::find_target(SARDE_FUZZ_TARGET);
  target({data, size});
  return 0;
}
