#include "core/system/new_process.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/foundation/error.hpp"
#include "core/system/files.hpp"

namespace sarde {

Pipe::Pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw Error("make a pipe: " + errno_text(errno));
  read_end.reset(ends[0]);
  write_end.reset(ends[1]);
}

std::vector<std::string> as_environ(const std::vector<std::pair<std::string, std::string>>& variables) {
  std::vector<std::string> texts;
  for (const auto& [name, value] : variables) texts.push_back(name + "=" + value);
  return texts;
}

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (auto& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

pid_t start_process(std::vector<std::string> argv,
                    const std::vector<std::pair<std::string, std::string>>& environment,
                    const StandardFiles& files) {
  auto variables = as_environ(environment);
  const auto argv_pointers = pointers_to(argv);
  const auto environment_pointers = pointers_to(variables);
  Pipe exec_failure;
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) throw Error("start " + argv.at(0) + ": " + errno_text(errno));
  if (pid == 0) {
    // Only async-signal-safe calls from here on: other threads of the parent may have held locks.
    sigset_t none;
    sigemptyset(&none);
    ::pthread_sigmask(SIG_SETMASK, &none, nullptr);
    ::signal(SIGPIPE, SIG_DFL);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(127);
    ::dup2(files.in, STDIN_FILENO);
    ::dup2(files.out, STDOUT_FILENO);
    ::dup2(files.err, STDERR_FILENO);
    ::execvpe(argv_pointers[0], argv_pointers.data(), environment_pointers.data());
    const int error = errno;
    static_cast<void>(!::write(exec_failure.write_end.get(), &error, sizeof error));
    ::_exit(127);
  }
  exec_failure.write_end.reset();
  int error = 0;
  if (read_full(exec_failure.read_end.get(), &error, sizeof error, "the new process") != sizeof error)
    return pid;
  ::waitpid(pid, nullptr, 0);
  const auto& name = argv.at(0);
  if (error == ENOENT)
    throw Error("run " + name + ": there is no such program; install it (apt-get install " + name + ")");
  throw Error("run " + name + ": " + errno_text(error));
}

}  // namespace sarde
