#include "executor/commands/login_command.hpp"

#include <cerrno>
#include <fcntl.h>
#include <poll.h>
#include <termios.h>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/system/files.hpp"

namespace sarde {

namespace {

constexpr std::size_t longest_secret = 64U << 10U;

/// The user's terminal, even if stdin and stdout are something else.
class Terminal {
 public:
  explicit Terminal(Cancellation& cancellation)
      : fd_(::open("/dev/tty", O_RDWR | O_CLOEXEC)), cancellation_(cancellation) {
    if (!fd_)
      throw Error(Blame::job,
                  "log in: there is no terminal to ask at; use --username and --password-stdin ('pass show "
                  "registry | sarde login -u me --password-stdin registry.example.org')");
  }

  std::string ask(const std::string& question) { return ask_as_it_is(question); }

  /// Asks without showing what is typed.
  std::string ask_in_secret(const std::string& question) {
    termios usual{};
    ::tcgetattr(fd_.get(), &usual);
    auto silent = usual;
    silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    ::tcsetattr(fd_.get(), TCSAFLUSH, &silent);
    try {
      auto answer = ask_as_it_is(question);
      restore(usual);
      return answer;
    } catch (...) {
      restore(usual);
      throw;
    }
  }

 private:
  void restore(const termios& usual) {
    ::tcsetattr(fd_.get(), TCSAFLUSH, &usual);
    write_full(fd_.get(), "\n", 1, "/dev/tty");
  }

  std::string ask_as_it_is(const std::string& question) {
    write_full(fd_.get(), question.data(), question.size(), "/dev/tty");
    std::string answer;
    for (;;) {
      std::array<pollfd, 2> fds{{{fd_.get(), POLLIN, 0}, {cancellation_.fd(), POLLIN, 0}}};
      if (::poll(fds.data(), fds.size(), -1) < 0 && errno != EINTR)
        throw Error("read from the terminal: " + errno_text(errno));
      cancellation_.check();
      char letter = 0;
      if ((fds[0].revents & (POLLIN | POLLHUP)) == 0) continue;
      if (::read(fd_.get(), &letter, 1) <= 0 || letter == '\n') return answer;
      answer += letter;
    }
  }

  UniqueFd fd_;
  Cancellation& cancellation_;
};

Secret password_from_stdin() {
  std::string text(longest_secret, '\0');
  text.resize(read_full(STDIN_FILENO, text.data(), text.size(), "standard input"));
  while (text.ends_with('\n') || text.ends_with('\r')) text.pop_back();
  if (text.empty()) throw Error(Blame::job, "log in: standard input contains no password");
  return Secret(text);
}

}  // namespace

void log_in(const CommandTools& tools, const LoginRequest& request) {
  const auto& [registry, given, password_stdin] = request;
  auto username = given.username.value_or("");
  std::optional<Terminal> terminal;
  if (username.empty())
    username = terminal.emplace(tools.cancellation).ask("Username for " + registry + ": ");
  Secret password;
  if (password_stdin) {
    password = password_from_stdin();
  } else if (given.password) {
    password = *given.password;
  } else {
    if (!terminal) terminal.emplace(tools.cancellation);
    password = Secret(terminal->ask_in_secret("Password for " + username + " at " + registry + ": "));
  }
  if (username.empty() || password.empty())
    throw Error(Blame::job, "log in at " + quote(registry) + ": no username or no password was given");
  tools.reporter.mask(password.reveal());
  tools.registry.login(registry, username, password);
  tools.reporter.say("Logged in at " + registry + " as " + username);
}

void log_out(const CommandTools& tools, const std::string& registry) {
  tools.registry.logout(registry);
  tools.reporter.say(registry == "*" ? "Logged out from all registries" : "Logged out from " + registry);
}

}  // namespace sarde
