#include "core/guest/ssh_guest_shell.hpp"

#include <array>
#include <fcntl.h>
#include <fstream>
#include <pwd.h>
#include <signal.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include <doctest/doctest.h>

#include "core/system/files.hpp"
#include "tests/support/check_error.hpp"
#include "tests/support/listener.hpp"
#include "tests/support/run_tool.hpp"
#include "tests/support/temp_folder.hpp"

using namespace sarde;
using namespace std::chrono_literals;
using sarde::testing::check_error;
using sarde::testing::Listener;
using sarde::testing::run_tool;
using sarde::testing::TestFolder;

namespace {

/// OpenSSH's server for this account alone, on a free port of 127.0.0.1, with a host key and a user key of
/// its own.
class LoopbackSshd {
 public:
  LoopbackSshd() : port_(Listener().port) {
    run_tool({"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", (folder_ / "host").string()});
    run_tool({"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", (folder_ / "user").string()});
    // SHLVL: a deep bash reads no .bashrc, whatever this account has in its own.
    std::ofstream(folder_ / "config")
        << "Port " << port_ << "\nListenAddress 127.0.0.1\nListenAddress ::1\nHostKey "
        << (folder_ / "host").string() << "\nPidFile none\nSetEnv SHLVL=9\n"
        << "AuthorizedKeysFile " << (folder_ / "user.pub").string()
        << "\nPasswordAuthentication no\nUsePAM no\n"
        << "KbdInteractiveAuthentication no\nStrictModes no\nMaxStartups 100\nPermitRootLogin yes\n";
    if (::geteuid() == 0) std::filesystem::create_directories("/run/sshd");
    pid_ = ::fork();
    REQUIRE(pid_ >= 0);
    if (pid_ == 0) {
      const auto config = (folder_ / "config").string();
      const auto log = (folder_ / "log").string();
      ::execl("/usr/sbin/sshd", "/usr/sbin/sshd", "-D", "-f", config.c_str(), "-E", log.c_str(), nullptr);
      ::_exit(127);
    }
  }

  LoopbackSshd(const LoopbackSshd&) = delete;
  LoopbackSshd& operator=(const LoopbackSshd&) = delete;

  ~LoopbackSshd() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

  [[nodiscard]] SshTarget target() const {
    return {.address = "127.0.0.1",
            .port = port_,
            .username = ::getpwuid(::geteuid())->pw_name,
            .password = Secret("wrong"),
            .identity_file = folder_ / "user",
            .known_host_key = {}};
  }

  [[nodiscard]] const TestFolder& folder() const { return folder_; }

 private:
  TestFolder folder_;
  std::uint16_t port_;
  pid_t pid_ = -1;
};

struct Bench {
  LoopbackSshd sshd;
  SystemClock clock;
  Cancellation cancellation;

  ConnectResult try_to_connect(const SshTarget& target) {
    return connect_ssh(target, {.until_banner = 2s, .until_login = 20s}, clock, cancellation);
  }

  std::unique_ptr<GuestShell> connect() {
    for (int i = 0; i < 50; ++i) {
      auto result = try_to_connect(sshd.target());
      if (auto* shell = std::get_if<std::unique_ptr<GuestShell>>(&result)) return std::move(*shell);
      std::this_thread::sleep_for(100ms);
    }
    FAIL("the test's sshd does not answer");
    return nullptr;
  }

  /// Runs it with stdout and stderr in files; the outcome.
  ScriptOutcome run(const std::string& script) {
    const UniqueFd out(
        ::open((sshd.folder() / "out").c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600));
    const UniqueFd err(
        ::open((sshd.folder() / "err").c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600));
    return connect()->run_script(
        {.content = script, .shell = "bash", .output = out.get(), .errors = err.get()}, cancellation);
  }

  std::string output(const std::string& which = "out") {
    return read_file(sshd.folder() / which, UINT64_MAX);
  }
};

int exit_code(const ScriptOutcome& outcome) {
  return std::get<ScriptExited>(outcome).code;
}

}  // namespace

TEST_CASE("ssh: exit codes, separate streams, an empty stdin, and no trace left") {
  Bench bench;
  CHECK(exit_code(bench.run("echo out; echo err >&2; cat; exit 37")) == 37);
  CHECK(bench.output() == "out\n");
  CHECK(bench.output("err") == "err\n");
  CHECK(exit_code(bench.run("echo $0")) == 0);
  const auto folder = std::filesystem::path(bench.output()).parent_path();
  for (int i = 0; i < 100 && std::filesystem::exists(folder); ++i) std::this_thread::sleep_for(50ms);
  CHECK_FALSE(std::filesystem::exists(folder));
}

TEST_CASE("ssh: every byte comes through, up to the last of a flood") {
  Bench bench;
  CHECK(exit_code(bench.run(R"sh(for i in $(seq 0 255); do printf "\\$(printf %03o $i)"; done)sh")) == 0);
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  CHECK(bench.output() == all);
  CHECK(exit_code(bench.run("head -c 50000000 /dev/zero | tr '\\0' x; echo end")) == 0);
  const auto flood = bench.output();
  CHECK(flood.size() == 50000004);
  CHECK(flood.ends_with("xend\n"));
}

TEST_CASE("ssh: a large script with any bytes in it arrives whole") {
  Bench bench;
  std::string filler(3'000'000, 'c');
  CHECK(exit_code(bench.run("tail -c 1000000 \"$0\" | wc -c\nexit 5\n#" + filler)) == 5);
  CHECK(bench.output() == "1000000\n");
}

TEST_CASE("ssh: a script that is killed is no lost connection") {
  Bench bench;
  const auto outcome = bench.run("kill -9 $$");
  REQUIRE(std::holds_alternative<ScriptKilled>(outcome));
  CHECK(std::get<ScriptKilled>(outcome).signal == "KILL");
}

TEST_CASE("ssh: a connection that is lost while the script runs is the host's fault, at once") {
  Bench bench;
  const auto start = std::chrono::steady_clock::now();
  // The parent of the script's shell is the connection's sshd.
  check_error(Blame::host, "the connection to the VM was lost",
              [&] { bench.run("rm -rf ${0%/*}; kill -9 $PPID; sleep 20"); });
  CHECK(std::chrono::steady_clock::now() - start < 10s);
}

TEST_CASE("ssh: a process left behind that holds the streams open does not keep the stage") {
  Bench bench;
  const auto start = std::chrono::steady_clock::now();
  CHECK(exit_code(bench.run("sleep 30 & echo $!; exit 4")) == 4);
  CHECK(std::chrono::steady_clock::now() - start < 10s);
  ::kill(std::stoi(bench.output()), SIGKILL);
}

TEST_CASE("ssh: a stop ends the script's whole process group, one that ignores SIGTERM too") {
  Bench bench;
  bench.cancellation = Cancellation::on_signals();
  const auto pids = bench.sshd.folder() / "pids";
  std::thread stopper([&] {
    for (int i = 0; i < 100 && read_end_of_file(pids, 100).find("ready") == std::string::npos; ++i)
      std::this_thread::sleep_for(50ms);
    ::kill(::getpid(), SIGTERM);
  });
  const auto outcome = bench.run("trap '' TERM; sleep 60 & echo $! >>" + pids.string() + "; echo $$ >>" +
                                 pids.string() + "; echo ready >>" + pids.string() + "; wait; sleep 60");
  stopper.join();
  CHECK(std::holds_alternative<ScriptStopped>(outcome));
  std::ifstream file(pids);
  for (pid_t pid = 0; file >> pid;) {
    CAPTURE(pid);
    const auto stat = read_file_if_there("/proc/" + std::to_string(pid) + "/stat").value_or(") Z");
    CHECK(stat.substr(stat.rfind(')'), 3) == ") Z");  // ended, if perhaps not reaped yet
  }
}

TEST_CASE("ssh: another host key is not trusted, the right one is") {
  Bench bench;
  auto target = bench.sshd.target();
  target.known_host_key = bench.connect()->host_key();
  CHECK(target.known_host_key->starts_with("ssh-ed25519 AAAA"));
  CHECK(std::holds_alternative<std::unique_ptr<GuestShell>>(bench.try_to_connect(target)));
  target.known_host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAnotherkey";
  const auto result = bench.try_to_connect(target);
  REQUIRE(std::holds_alternative<ConnectProblem>(result));
  CHECK(std::get<ConnectProblem>(result).kind == ConnectProblem::Kind::host_key_changed);
}

TEST_CASE("ssh: a login that is refused is told from a server that does not answer") {
  Bench bench;
  static_cast<void>(bench.connect());
  auto target = bench.sshd.target();
  target.identity_file.clear();
  const auto refused = bench.try_to_connect(target);
  REQUIRE(std::holds_alternative<ConnectProblem>(refused));
  INFO(std::get<ConnectProblem>(refused).why);
  CHECK(std::get<ConnectProblem>(refused).kind == ConnectProblem::Kind::login_refused);
  target.port = Listener().port;
  const auto silent = bench.try_to_connect(target);
  REQUIRE(std::holds_alternative<ConnectProblem>(silent));
  CHECK(std::get<ConnectProblem>(silent).kind == ConnectProblem::Kind::unreachable);
  CHECK(std::get<ConnectProblem>(silent).why == "Connection refused");
  target.identity_file = "/nonexistent";
  target.port = bench.sshd.target().port;
  check_error(Blame::job, "identity file /nonexistent", [&] { bench.try_to_connect(target); });
}

TEST_CASE("ssh: an IPv6 address will do") {
  Bench bench;
  static_cast<void>(bench.connect());
  auto target = bench.sshd.target();
  target.address = "::1";
  const auto result = bench.try_to_connect(target);
  if (const auto* problem = std::get_if<ConnectProblem>(&result)) {
    // A machine without IPv6 cannot show it; any other answer is a failure.
    CHECK(problem->why == "Cannot assign requested address");
    MESSAGE("skipped: this machine has no IPv6 loopback");
  }
}
