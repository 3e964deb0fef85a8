#include "core/guest/guest_commands.hpp"

#include <doctest/doctest.h>

#include "core/foundation/text.hpp"

using namespace sarde;

namespace {

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("guest commands: any login shell passes the command on as one word") {
  const auto commands = guest_commands("bash", "abc", 10);
  CHECK(commands.run.starts_with("exec sh -c '"));
  CHECK(commands.run.find('\'', 12) == commands.run.size() - 1);
  CHECK(has(commands.run, "exec $s bash /tmp/sarde-abc/script </dev/null"));
}

TEST_CASE("guest commands: PowerShell runs a file, with the runner's own flags") {
  CHECK(has(guest_commands("pwsh", "abc", 10).run,
            "pwsh -NoProfile -NonInteractive -ExecutionPolicy Bypass -File /tmp/sarde-abc/script.ps1"));
  const auto windows = guest_commands("powershell", "abc", 10);
  CHECK(windows.run.starts_with(
      "powershell -NoProfile -NonInteractive -ExecutionPolicy Bypass -EncodedCommand "));
  CHECK(windows.input_prefix.empty());
  CHECK(windows.run.size() < 8191);  // cmd.exe's longest line
}
