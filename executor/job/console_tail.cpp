#include "executor/job/console_tail.hpp"

#include "core/foundation/text.hpp"
#include "core/system/files.hpp"

namespace sarde {

void show_console(const std::filesystem::path& log, Reporter& reporter) {
  constexpr std::size_t lines = 20;
  constexpr std::uint64_t enough = 64U << 10U;
  const auto tail = printable_tail(read_end_of_file(log, enough), lines);
  if (tail.empty()) {
    reporter.warn("The VM wrote nothing to its serial console");
    return;
  }
  reporter.warn("The end of the VM's serial console:");
  for (const auto& line : split(tail, '\n')) reporter.warn("  | " + line);
}

}  // namespace sarde
