#include "core/system/companion.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <optional>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "core/foundation/error.hpp"
#include "core/foundation/unique_fd.hpp"
#include "core/system/files.hpp"
#include "core/system/new_process.hpp"

namespace sarde {

namespace {

/// In the new process: only async-signal-safe calls, for other threads of the parent may have held locks.
[[noreturn]] void become(const std::vector<int>& files, int go_ahead, char* const* argv,
                         char* const* environment) {
  constexpr int failed = 127;
  char told = 0;
  if (::read(go_ahead, &told, 1) != 1) ::_exit(failed);
  constexpr int inherited = 3;
  const int nowhere = ::open("/dev/null", O_RDWR);
  for (const int fd : {0, 1, 2}) ::dup2(nowhere, fd);
  // Out of the way first: one of them may have another's new number.
  constexpr int most = 8;
  std::array<int, most> copies{};
  const auto count = std::min<std::size_t>(files.size(), most);
  for (std::size_t i = 0; i < count; ++i) copies[i] = ::fcntl(files[i], F_DUPFD, inherited + most);
  for (std::size_t i = 0; i < count; ++i) ::dup2(copies[i], inherited + static_cast<int>(i));
  ::close_range(inherited + static_cast<unsigned>(count), ~0U, 0);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::execve("/proc/self/exe", argv, environment);
  ::_exit(failed);
}

}  // namespace

void start_self(const std::string& name, const std::string& argument, const std::vector<int>& files,
                const std::vector<std::pair<std::string, std::string>>& environment,
                const std::filesystem::path& record) {
  std::vector<std::string> words{name, argument};
  auto variables = as_environ(environment);
  const auto argv = pointers_to(words);
  const auto envp = pointers_to(variables);
  Pipe number;
  Pipe go_ahead;
  // Forked twice, so that nobody has to wait for it.
  const pid_t between = ::fork();
  if (between < 0) throw Error("start " + name + ": " + errno_text(errno));
  if (between == 0) {
    ::setsid();
    go_ahead.write_end.reset();
    const pid_t last = ::fork();
    if (last == 0) become(files, go_ahead.read_end.get(), argv.data(), envp.data());
    const auto written = ::write(number.write_end.get(), &last, sizeof last);
    ::_exit(written == sizeof last ? 0 : 1);
  }
  number.write_end.reset();
  go_ahead.read_end.reset();
  pid_t pid = -1;
  const auto got = ::read(number.read_end.get(), &pid, sizeof pid);
  int status = 0;
  ::waitpid(between, &status, 0);
  const auto process = got == sizeof pid && pid > 0 ? identity_of(pid) : std::nullopt;
  if (!process) throw Error("start " + name + ": it has ended at once");
  note_companion(record, *process);
  if (::write(go_ahead.write_end.get(), "", 1) != 1) throw Error("start " + name + ": it has ended at once");
}

void note_companion(const std::filesystem::path& record, const ProcessIdentity& process) {
  write_file(record, process.text() + "\n", 0600);
}

void end_companion(const std::filesystem::path& record) {
  const auto text = read_file_if_there(record);
  const auto process = text ? ProcessIdentity::parse(*text) : std::nullopt;
  if (!process) return;
  // A handle on the process first, and then the look at who it is: what is signalled is what was looked at.
  // (glibc 2.36 declares its functions for C only.)
  const UniqueFd handle(static_cast<int>(::syscall(SYS_pidfd_open, process->pid, 0)));
  if (!handle) return;
  constexpr std::chrono::milliseconds pause(20);
  constexpr int patience = 150;
  for (int i = 0; i < patience; ++i) {
    if (life_of(*process) != ProcessLife::lives) return;
    ::syscall(SYS_pidfd_send_signal, handle.get(), i == 0 ? SIGTERM : SIGKILL, nullptr, 0);
    std::this_thread::sleep_for(pause);
  }
  throw Error("end process " + std::to_string(process->pid) + ", which " + record.string() +
              " names: it does not end");
}

}  // namespace sarde
