#include "core/system/foreground.hpp"

#include <cerrno>
#include <csignal>
#include <spawn.h>
#include <sys/wait.h>

#include "core/foundation/error.hpp"
#include "core/system/files.hpp"
#include "core/system/new_process.hpp"

namespace sarde {

namespace {

/// Until the end of the block, this process ignores what the terminal sends, which the other one gets too.
class Deaf {
 public:
  Deaf() : interrupt_(std::signal(SIGINT, SIG_IGN)), quit_(std::signal(SIGQUIT, SIG_IGN)) {}

  Deaf(const Deaf&) = delete;
  Deaf& operator=(const Deaf&) = delete;

  ~Deaf() {
    std::signal(SIGINT, interrupt_);
    std::signal(SIGQUIT, quit_);
  }

 private:
  void (*interrupt_)(int);
  void (*quit_)(int);
};

}  // namespace

int run_in_foreground(const std::vector<std::string>& argv,
                      const std::vector<std::pair<std::string, std::string>>& environment) {
  auto words = argv;
  std::vector<std::string> variables;
  variables.reserve(environment.size());
  for (const auto& [name, value] : environment) variables.push_back(name + "=" + value);
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  sigset_t none;
  sigset_t terminal;
  ::sigemptyset(&none);
  ::sigemptyset(&terminal);
  for (const auto signal : {SIGINT, SIGQUIT, SIGTERM, SIGPIPE}) ::sigaddset(&terminal, signal);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setsigdefault(&attributes, &terminal);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  const Deaf deaf;
  pid_t child = 0;
  const int failed = ::posix_spawnp(&child, words.front().c_str(), nullptr, &attributes,
                                    pointers_to(words).data(), pointers_to(variables).data());
  ::posix_spawnattr_destroy(&attributes);
  if (failed == ENOENT) throw Error("run " + argv.front() + ": there is no such program; install it");
  if (failed != 0) throw Error("run " + argv.front() + ": " + errno_text(failed));
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) throw Error("wait for " + argv.front() + ": " + errno_text(errno));
  }
  constexpr int by_signal = 128;
  return WIFEXITED(status) ? WEXITSTATUS(status) : by_signal + WTERMSIG(status);
}

}  // namespace sarde
