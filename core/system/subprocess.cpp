#include "core/system/subprocess.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

// glibc 2.36's header does not say so itself.
extern "C" {
#include <sys/pidfd.h>
}

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/foundation/unique_fd.hpp"
#include "core/system/files.hpp"
#include "core/system/new_process.hpp"

namespace sarde {

using std::chrono::milliseconds;

namespace {

constexpr std::size_t kept_output = 4U << 20U;
constexpr milliseconds grace(3'000);
constexpr milliseconds stop_pause(100);

void keep_tail(std::string& kept, const char* data, std::size_t size) {
  kept.append(data, size);
  if (kept.size() > 2 * kept_output) kept.erase(0, kept.size() - kept_output);
}

class Child {
 public:
  explicit Child(const Program& program);
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child();

  ProgramResult finish(const ProgramLimits& limits);

 private:
  void exchange(milliseconds timeout, int cancellation_fd);
  void feed();
  static bool drain(UniqueFd& from, std::string& into);
  bool has_ended();
  void stop();

  Pipe in_, out_, err_;
  std::string input_;
  std::size_t fed_ = 0;
  pid_t pid_ = -1;
  UniqueFd ended_;  ///< a pidfd: readable once the process has ended
  std::optional<int> status_;
  ProgramResult result_;
};

Child::Child(const Program& program) : input_(program.input) {
  pid_ = start_process(program.argv, program.environment,
                       {.in = in_.read_end.get(), .out = out_.write_end.get(), .err = err_.write_end.get()});
  ended_.reset(::pidfd_open(pid_, 0));
  for (auto* end : {&in_.read_end, &out_.write_end, &err_.write_end}) end->reset();
  for (const int fd : {in_.write_end.get(), out_.read_end.get(), err_.read_end.get()}) {
    static_cast<void>(::fcntl(fd, F_SETFL, O_NONBLOCK));
  }
}

Child::~Child() {
  if (pid_ > 0 && !status_) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
}

void Child::feed() {
  if (fed_ < input_.size()) {
    const auto put = ::write(in_.write_end.get(), input_.data() + fed_, input_.size() - fed_);
    if (put > 0) fed_ += static_cast<std::size_t>(put);
    if (put < 0 && errno != EAGAIN && errno != EINTR) fed_ = input_.size();
  }
  if (fed_ == input_.size()) in_.write_end.reset();
}

/// Takes what is there now; false when there is nothing more to take.
bool Child::drain(UniqueFd& from, std::string& into) {
  std::array<char, 65536> buffer{};
  const auto got = from ? ::read(from.get(), buffer.data(), buffer.size()) : 0;
  if (got > 0) keep_tail(into, buffer.data(), static_cast<std::size_t>(got));
  if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) from.reset();
  return got > 0;
}

void Child::exchange(milliseconds timeout, int cancellation_fd) {
  std::array<pollfd, 5> waiting{pollfd{in_.write_end.get(), POLLOUT, 0},
                                pollfd{out_.read_end.get(), POLLIN, 0},
                                pollfd{err_.read_end.get(), POLLIN, 0}, pollfd{cancellation_fd, POLLIN, 0},
                                pollfd{ended_.get(), POLLIN, 0}};
  if (::poll(waiting.data(), waiting.size(), static_cast<int>(timeout.count())) <= 0) return;
  if (waiting[0].revents != 0) feed();
  if (waiting[1].revents != 0) drain(out_.read_end, result_.output);
  if (waiting[2].revents != 0) drain(err_.read_end, result_.errors);
}

bool Child::has_ended() {
  int status = 0;
  if (!status_ && ::waitpid(pid_, &status, WNOHANG) == pid_) status_ = status;
  return status_.has_value();
}

void Child::stop() {
  ::kill(pid_, SIGTERM);
  const auto end = std::chrono::steady_clock::now() + grace;
  while (!has_ended() && std::chrono::steady_clock::now() < end) exchange(stop_pause, -1);
  if (!has_ended()) ::kill(pid_, SIGKILL);
}

ProgramResult Child::finish(const ProgramLimits& limits) {
  const auto started = limits.clock.now();
  auto next_heartbeat = started + limits.heartbeat_every;
  while (!has_ended()) {
    const auto now = limits.clock.now();
    if (limits.cancellation.requested() != 0 || now >= limits.deadline) stop();
    limits.cancellation.check();
    if (now >= limits.deadline) {
      throw Error("it did not end within " + duration_text(milliseconds_between(started, now)) +
                  "; its last words: " + quote(printable_tail(result_.errors, 3)));
    }
    if (limits.heartbeat && now >= next_heartbeat) {
      limits.heartbeat({.pid = pid_, .since_start = milliseconds_between(started, now)});
      next_heartbeat = now + limits.heartbeat_every;
    }
    const auto until = limits.heartbeat ? std::min(limits.deadline, next_heartbeat) : limits.deadline;
    const auto wait = milliseconds_between(now, until);
    exchange(std::min(wait, milliseconds(3'600'000)), limits.cancellation.fd());
  }
  // What is left in the pipes; a grandchild may hold them open, so this does not wait for their end.
  while (drain(out_.read_end, result_.output) || drain(err_.read_end, result_.errors)) {
  }
  result_.exit_code = WIFEXITED(*status_) ? WEXITSTATUS(*status_) : -1;
  result_.signal = WIFSIGNALED(*status_) ? WTERMSIG(*status_) : 0;
  return std::move(result_);
}

}  // namespace

ProgramResult run_program(const Program& program, const ProgramLimits& limits) {
  Child child(program);
  return within("run " + program.argv.at(0), [&] { return child.finish(limits); });
}

}  // namespace sarde
