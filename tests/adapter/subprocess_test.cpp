#include "core/system/subprocess.hpp"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "core/system/files.hpp"
#include "tests/support/check_error.hpp"

using namespace sarde;
using namespace std::chrono_literals;
using sarde::testing::check_error;

namespace {

struct Bench {
  SystemClock clock;
  Cancellation cancellation;

  ProgramResult run(const std::vector<std::string>& argv, std::chrono::milliseconds limit = 20s,
                    const std::string& input = "") {
    return run_program(
        {.argv = argv, .environment = {{"PATH", "/usr/bin:/bin"}, {"WORD", "x y"}}, .input = input},
        {.clock = clock, .cancellation = cancellation, .deadline = clock.now() + limit});
  }
};

}  // namespace

TEST_CASE("subprocess: output, errors, exit code and environment, without a shell in between") {
  const auto result =
      Bench().run({"sh", "-c", "printf '%s|' \"$@\" \"$WORD\"; echo e >&2; exit 3", "sh", "a b", "$HOME;"});
  CHECK(result.exit_code == 3);
  CHECK(result.output == "a b|$HOME;|x y|");
  CHECK(result.errors == "e\n");
}

TEST_CASE("subprocess: input of any size reaches it, and a program that reads none does not hang us") {
  const std::string large(3'000'000, 'i');
  CHECK(Bench().run({"wc", "-c"}, 20s, large).output == "3000000\n");
  CHECK(Bench().run({"true"}, 20s, large).succeeded());
}

TEST_CASE("subprocess: of endless output the end is kept") {
  const auto result = Bench().run({"sh", "-c", "head -c 40000000 /dev/zero | tr '\\0' z; echo end"});
  CHECK(result.output.size() < 10'000'000);
  CHECK(result.output.ends_with("zend\n"));
}

TEST_CASE("subprocess: a signal that kills it is told from an exit") {
  const auto result = Bench().run({"sh", "-c", "kill -9 $$"});
  CHECK_FALSE(result.succeeded());
  CHECK(result.signal == SIGKILL);
}

TEST_CASE("subprocess: a program that is not there is named, with the package to install") {
  check_error(Blame::host, "run no-such-program: there is no such program",
              [] { Bench().run({"no-such-program"}); });
}

TEST_CASE("subprocess: past its deadline it is ended, and its last words are told") {
  const auto start = std::chrono::steady_clock::now();
  check_error(Blame::host, "hanging", [] {
    Bench().run({"sh", "-c", "echo hanging >&2; exec sleep 60"}, 300ms);
  });
  CHECK(std::chrono::steady_clock::now() - start < 3s);
}

TEST_CASE("subprocess: one that ignores SIGTERM is killed") {
  check_error(Blame::host, "did not end", [] {
    Bench().run({"sh", "-c", "trap '' TERM; while :; do sleep 1; done"}, 200ms);
  });
}

TEST_CASE("subprocess: a grandchild that keeps the pipes open does not keep us") {
  const auto start = std::chrono::steady_clock::now();
  const auto result = Bench().run({"sh", "-c", "sleep 30 & echo done; echo $!"});
  CHECK(result.output.starts_with("done\n"));
  CHECK(std::chrono::steady_clock::now() - start < 10s);
  ::kill(std::stoi(result.output.substr(5)), SIGKILL);
}

TEST_CASE("subprocess: our own signals stay ours, its mask is clean") {
  Bench bench;
  bench.cancellation = Cancellation::on_signals();
  CHECK(bench.run({"grep", "SigBlk", "/proc/self/status"}).output == "SigBlk:\t0000000000000000\n");
  ::kill(::getpid(), SIGTERM);
  CHECK_THROWS_AS(bench.run({"sleep", "60"}), Cancelled);
}

TEST_CASE("subprocess: waiting for a program that says nothing costs no processor time") {
  const auto spent = [] {
    timespec time{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
  };
  const auto before = spent();
  CHECK(Bench().run({"sleep", "1"}).succeeded());
  CHECK(spent() - before < 200ms);
}

TEST_CASE("proc: a process that ends while its file is read is one that is gone") {
  for (int i = 0; i < 200; ++i) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(0);
    for (const auto* name : {"stat", "io", "cmdline"})
      CHECK_NOTHROW(static_cast<void>(read_proc_file("/proc/" + std::to_string(child) + "/" + name)));
    ::waitpid(child, nullptr, 0);
    CHECK_FALSE(read_proc_file("/proc/" + std::to_string(child) + "/stat"));
  }
  CHECK(read_proc_file("/proc/self/stat"));
}
