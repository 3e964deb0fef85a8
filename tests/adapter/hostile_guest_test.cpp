// Guests whose SSH server is not what it should be.
#include <array>
#include <fcntl.h>
#include <fstream>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include <doctest/doctest.h>

#include "core/foundation/text.hpp"
#include "core/guest/ssh_guest_shell.hpp"
#include "core/system/files.hpp"
#include "tests/support/check_error.hpp"
#include "tests/support/listener.hpp"
#include "tests/support/temp_folder.hpp"

using namespace sarde;
using namespace std::chrono_literals;
using sarde::testing::Listener;
using sarde::testing::on_loopback;
using sarde::testing::TestFolder;

namespace {

class HostileSshd {
 public:
  explicit HostileSshd(const std::string& mode, const std::string& seconds = "0") {
    const auto script = std::string(SARDE_SOURCE_DIR) + "/tests/support/hostile_sshd.py";
    const auto port_file = (folder_ / "port").string();
    const auto log = (folder_ / "log").string();
    pid_ = ::fork();
    REQUIRE(pid_ >= 0);
    if (pid_ == 0) {
      const int to = ::open(log.c_str(), O_WRONLY | O_CREAT, 0600);
      ::dup2(to, STDERR_FILENO);
      ::execl("/usr/bin/python3", "python3", script.c_str(), mode.c_str(), port_file.c_str(), seconds.c_str(),
              nullptr);
      ::_exit(127);
    }
    for (int i = 0; i < 400 && !std::filesystem::exists(port_file); ++i) std::this_thread::sleep_for(50ms);
    REQUIRE_MESSAGE(std::filesystem::exists(port_file), read_file(log));
    port_ = static_cast<std::uint16_t>(*parse_number(read_file(port_file)));
  }

  HostileSshd(const HostileSshd&) = delete;
  HostileSshd& operator=(const HostileSshd&) = delete;

  ~HostileSshd() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

  [[nodiscard]] std::uint16_t port() const { return port_; }

  ConnectResult connect(std::uint16_t port, std::chrono::milliseconds until_login = 20s) {
    const SshTarget target{.address = "127.0.0.1",
                           .port = port,
                           .username = "u",
                           .password = Secret("p"),
                           .identity_file = {},
                           .known_host_key = {}};
    return connect_ssh(target, {.until_banner = 10s, .until_login = until_login}, clock, cancellation);
  }

  std::unique_ptr<GuestShell> shell() {
    for (int tries = 0;; ++tries) {
      auto result = connect(port_);
      if (auto* shell = std::get_if<std::unique_ptr<GuestShell>>(&result)) return std::move(*shell);
      INFO(std::get<ConnectProblem>(result).why);
      REQUIRE(tries < 20);
      std::this_thread::sleep_for(100ms);
    }
  }

  /// Runs a script whose output nobody wants, for 10 s at most. Returns its exit code.
  std::int32_t exit_code(GuestShell& shell) {
    const UniqueFd null(::open("/dev/null", O_WRONLY | O_CLOEXEC));
    const auto outcome = shell.run_script({.content = "true",
                                           .shell = "sh",
                                           .output = null.get(),
                                           .errors = null.get(),
                                           .deadline = clock.now() + 10s},
                                          cancellation);
    REQUIRE(std::holds_alternative<ScriptExited>(outcome));
    return std::get<ScriptExited>(outcome).code;
  }

  SystemClock clock;
  Cancellation cancellation;

 private:
  TestFolder folder_;
  pid_t pid_ = -1;
  std::uint16_t port_ = 0;
};

enum class CutBy { close, reset, silence };

/// A way to a server that is cut, as by a guest that dies, when so many bytes of what it sends have passed.
class CutConnection {
 public:
  CutConnection(std::uint16_t server, std::size_t bytes, CutBy end)
      : thread_([this, server, bytes, end] { pass(server, bytes, end); }) {}

  [[nodiscard]] std::uint16_t port() const { return listening_.port; }

 private:
  void pass(std::uint16_t server, std::size_t bytes, CutBy end) {
    const UniqueFd client(::accept(listening_.fd.get(), nullptr, nullptr));
    const UniqueFd guest(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const auto address = on_loopback(server);
    if (::connect(guest.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return;
    std::array<char, 4096> piece{};
    while (bytes > 0) {
      std::array<pollfd, 2> polled{{{client.get(), POLLIN, 0}, {guest.get(), POLLIN, 0}}};
      ::poll(polled.data(), polled.size(), -1);
      if (polled[0].revents != 0) {
        const auto got = ::recv(client.get(), piece.data(), piece.size(), 0);
        if (got <= 0 || ::send(guest.get(), piece.data(), static_cast<std::size_t>(got), MSG_NOSIGNAL) != got)
          return;
      }
      if (polled[1].revents != 0) {
        const auto got = ::recv(guest.get(), piece.data(), std::min(piece.size(), bytes), 0);
        if (got <= 0 ||
            ::send(client.get(), piece.data(), static_cast<std::size_t>(got), MSG_NOSIGNAL) != got)
          return;
        bytes -= static_cast<std::size_t>(got);
      }
    }
    while (end == CutBy::silence && ::recv(client.get(), piece.data(), piece.size(), 0) > 0) {
    }
    const linger at_once{.l_onoff = end == CutBy::reset ? 1 : 0, .l_linger = 0};
    ::setsockopt(client.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  }

  Listener listening_;
  std::jthread thread_;
};

std::ptrdiff_t open_descriptors() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
}

/// Resident memory of this process, in bytes.
std::uint64_t resident() {
  const auto words = split(read_proc_file("/proc/self/statm").value_or(""), ' ');
  return parse_number(words.at(1)).value_or(0) * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace

TEST_CASE("hostile guest: an end that comes in the same breath as the beginning is not lost") {
  HostileSshd sshd("at-once");
  for (int i = 0; i < 10; ++i) {
    const auto shell = sshd.shell();
    const auto start = sshd.clock.now();
    CHECK(sshd.exit_code(*shell) == 7);
    CHECK(sshd.clock.now() - start < 5s);
  }
}

TEST_CASE("hostile guest: a command that it ignores has not begun, and is not waited for") {
  HostileSshd sshd("ignores");
  const auto shell = sshd.shell();
  const auto start = sshd.clock.now();
  CHECK_THROWS_WITH_AS(
      sshd.exit_code(*shell),
      "start a command in the guest: its SSH server has closed the channel instead of answering",
      ScriptNotBegun);
  CHECK(sshd.clock.now() - start < 5s);
}

TEST_CASE("hostile guest: one that ignores a command while another is ending has the time to end it") {
  HostileSshd sshd("busy");
  const auto shell = sshd.shell();
  const auto start = sshd.clock.now();
  for (int i = 0; i < 3; ++i) CHECK(sshd.exit_code(*shell) == 7);
  CHECK(sshd.clock.now() - start < 10s);
}

TEST_CASE("hostile guest: one that does not end the last command holds up the next for seconds only") {
  HostileSshd sshd("at-once");
  const auto shell = sshd.shell();
  const auto start = sshd.clock.now();
  for (int i = 0; i < 2; ++i) CHECK(sshd.exit_code(*shell) == 7);
  CHECK(sshd.clock.now() - start > 4s);
  CHECK(sshd.clock.now() - start < 10s);
  // Somebody who stops the job meanwhile is heard. (Children of later tests are not to inherit the mask.)
  sigset_t before{};
  ::pthread_sigmask(SIG_BLOCK, nullptr, &before);
  sshd.cancellation = Cancellation::on_signals();
  const std::jthread stop([] {
    std::this_thread::sleep_for(1s);
    ::kill(::getpid(), SIGINT);
  });
  const auto second = sshd.clock.now();
  CHECK_THROWS_AS(sshd.exit_code(*shell), Cancelled);
  CHECK(sshd.clock.now() - second < 4s);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

TEST_CASE("hostile guest: channels that it opens towards us are refused, and cost nothing") {
  HostileSshd sshd("channels", "4");
  const UniqueFd null(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  const auto shell = sshd.shell();
  const auto before = resident();
  const auto outcome = shell->run_script(
      {.content = "true", .shell = "sh", .output = null.get(), .errors = null.get()}, sshd.cancellation);
  CHECK(std::holds_alternative<ScriptExited>(outcome));
  CHECK(resident() - std::min(before, resident()) < 16U << 20U);
}

TEST_CASE("hostile guest: a script with a deadline ends with it, and is watched meanwhile") {
  HostileSshd sshd("forever");
  const UniqueFd null(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  const auto shell = sshd.shell();
  const auto start = sshd.clock.now();
  int watched = 0;
  const auto outcome = shell->run_script({.content = "true",
                                          .shell = "sh",
                                          .output = null.get(),
                                          .errors = null.get(),
                                          .deadline = start + 3s,
                                          .watch = [&] { ++watched; }},
                                         sshd.cancellation);
  CHECK(std::holds_alternative<ScriptTimedOut>(outcome));
  CHECK(sshd.clock.now() - start >= 3s);
  CHECK(sshd.clock.now() - start < 15s);
  CHECK(watched >= 2);
  sarde::testing::check_error(Blame::job, "enough", [&] {
    sshd.shell()->run_script({.content = "true",
                              .shell = "sh",
                              .output = null.get(),
                              .errors = null.get(),
                              .watch = [] { throw Error(Blame::job, "enough"); }},
                             sshd.cancellation);
  });
}

TEST_CASE("hostile home: what the account's own SSH files say counts for nothing") {
  HostileSshd sshd("at-once");
  const TestFolder home;
  make_folders(home / ".ssh", 0700);
  write_file(home / ".ssh/config",
             "Host *\nCiphers none-such\nHostKeyAlgorithms ssh-dss\nProxyCommand /bin/false\nUser "
             "nobody\nPort 1\nHostname 192.0.2.1\n",
             0600);
  write_file(
      home / ".ssh/known_hosts",
      "127.0.0.1 ssh-ed25519 "
      "AAAAC3NzaC1lZDI1NTE5AAAAIFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF\n[127.0.0.1]:22 ssh-rsa AAAA\n",
      0600);
  const char* before = ::getenv("HOME");
  const std::string old = before != nullptr ? before : "";
  ::setenv("HOME", home.path().c_str(), 1);
  ::setenv("SSH_AUTH_SOCK", "/nonexistent", 1);
  const auto shell = sshd.shell();
  ::setenv("HOME", old.c_str(), 1);
  ::unsetenv("SSH_AUTH_SOCK");
  CHECK(shell->host_key().starts_with("ecdsa"));
}

TEST_CASE("hostile guest: one that dies while somebody logs in is not waited for") {
  HostileSshd sshd("forever");
  const UniqueFd null(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  sshd.shell();
  const auto descriptors = open_descriptors();
  // From the banner up to the script's first output.
  std::size_t bytes = 20;
  for (int logins = 0; logins < 4; bytes += 60) {
    for (const auto end : {CutBy::close, CutBy::reset}) {
      CAPTURE(bytes);
      REQUIRE(bytes < 4000);
      const CutConnection way(sshd.port(), bytes, end);
      const auto start = sshd.clock.now();
      auto result = sshd.connect(way.port());
      if (auto* shell = std::get_if<std::unique_ptr<GuestShell>>(&result)) {
        ++logins;
        CHECK_THROWS_AS((*shell)->run_script({.content = "true",
                                              .shell = "sh",
                                              .output = null.get(),
                                              .errors = null.get(),
                                              .deadline = start + 10s},
                                             sshd.cancellation),
                        Error);
      } else {
        CHECK(std::get<ConnectProblem>(result).kind == ConnectProblem::Kind::unreachable);
      }
      CHECK(sshd.clock.now() - start < 8s);
    }
  }
  CHECK(open_descriptors() == descriptors);
}

TEST_CASE("hostile guest: one that falls silent while somebody logs in has refused nobody") {
  HostileSshd sshd("forever");
  sshd.shell();
  int silent = 0;
  for (std::size_t bytes = 1050; bytes < 1300; bytes += 50) {
    CAPTURE(bytes);
    const CutConnection way(sshd.port(), bytes, CutBy::silence);
    const auto result = sshd.connect(way.port(), 2s);
    const auto* problem = std::get_if<ConnectProblem>(&result);
    if (problem == nullptr) continue;
    CHECK(problem->kind == ConnectProblem::Kind::unreachable);
    if (problem->why == "no answer to the login in time") ++silent;
  }
  CHECK(silent > 0);
}

TEST_CASE("hostile guest: nothing stays open of one that never speaks") {
  const Listener silent;
  SystemClock clock;
  Cancellation cancellation;
  const SshTarget target{.address = "127.0.0.1",
                         .port = silent.port,
                         .username = "u",
                         .password = Secret("p"),
                         .identity_file = {},
                         .known_host_key = {}};
  const auto descriptors = open_descriptors();
  for (int i = 0; i < 3; ++i) {
    const auto result = connect_ssh(target, {.until_banner = 100ms}, clock, cancellation);
    REQUIRE(std::holds_alternative<ConnectProblem>(result));
    CHECK(std::get<ConnectProblem>(result).why == "connected, but no SSH server speaks");
  }
  CHECK(open_descriptors() == descriptors);
}
