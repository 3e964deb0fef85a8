#include "executor/commands/console_command.hpp"

#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/foundation/unique_fd.hpp"
#include "core/system/files.hpp"
#include "core/system/foreground.hpp"

namespace sarde {

int open_console(const KnownJob& job, const std::string& connect,
                 const std::vector<std::pair<std::string, std::string>>& environment) {
  if (!job.folder.expects_vm())
    throw Error(Blame::job, "job " + job.vm + " has no VM yet: it is still being prepared");
  return run_in_foreground({"virsh", "-c", connect, "console", job.vm}, environment);
}

namespace {

bool is_same_file(int one, int other) {
  struct stat a {};

  struct stat b {};

  return ::fstat(one, &a) == 0 && ::fstat(other, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

}  // namespace

void show_logs(const CommandTools& tools, const KnownJob& job, bool follow,
               const std::function<void(const std::string&)>& print) {
  constexpr std::chrono::milliseconds pause(200);
  constexpr std::size_t longest_line = 64U << 10U;
  const auto path = job.folder.console_log();
  const auto open_log = [&] { return UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW)); };
  auto file = open_log();
  if (!file && errno == ENOENT)
    throw Error(Blame::job, "job " + job.vm + " has written nothing yet: its VM has not started");
  if (!file) throw Error("read " + path.string() + ": " + errno_text(errno));
  std::string text;
  std::string piece(longest_line, '\0');
  const auto print_lines = [&] {
    for (auto end = text.find('\n'); end != std::string::npos || text.size() > longest_line;
         end = text.find('\n')) {
      print(text.substr(0, end));
      text.erase(0, end == std::string::npos ? text.size() : end + 1);
    }
  };
  for (;;) {
    const auto got = ::read(file.get(), piece.data(), piece.size());
    if (got < 0 && errno != EINTR) throw Error("read " + path.string() + ": " + errno_text(errno));
    if (got > 0) {
      text.append(piece, 0, static_cast<std::size_t>(got));
      print_lines();
      continue;
    }
    std::error_code ignored;
    if (!follow || !std::filesystem::exists(job.folder.path(), ignored)) break;
    // virtlogd begins a new file when this one is large.
    if (auto next = open_log(); next && !is_same_file(next.get(), file.get())) file = std::move(next);
    tools.clock.sleep(pause, tools.cancellation);
  }
  if (!text.empty()) print(text);
}

}  // namespace sarde
