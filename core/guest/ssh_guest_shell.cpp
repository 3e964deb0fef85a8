#include "core/guest/ssh_guest_shell.hpp"

#include <algorithm>
#include <array>
#include <chrono>

#include <libssh/server.h>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/guest/guest_commands.hpp"
#include "core/guest/script_channel.hpp"
#include "core/guest/ssh_driver.hpp"
#include "core/guest/ssh_handles.hpp"
#include "core/guest/ssh_login.hpp"

namespace sarde {

using std::chrono::milliseconds;

namespace {

constexpr milliseconds keepalive_every(3'000);
constexpr milliseconds term_to_kill(5'000);
constexpr milliseconds kill_to_giving_up(3'000);
constexpr milliseconds command_deadline(15'000);
constexpr milliseconds watch_every(1'000);

/// How a script is ended from outside, past its deadline or when a stop is asked for: TERM, later KILL, and
/// at last it is given up. The times run from when the step before was taken.
class ForcedEnd {
 public:
  enum class Step { none, terminate, kill, give_up };

  explicit ForcedEnd(std::optional<TimePoint> deadline) : deadline_(deadline) {}

  /// What is due now.
  Step step(TimePoint now, bool stop_requested) {
    is_late_ = is_late_ || (!has_begun() && deadline_ && now >= *deadline_);
    if (!has_begun()) return is_late_ || stop_requested ? Step::terminate : Step::none;
    if (now < *due_) return Step::none;
    return is_killed_ ? Step::give_up : Step::kill;
  }

  /// The step that was due has been taken.
  void taken(TimePoint now) {
    is_killed_ = has_begun();
    due_ = now + (is_killed_ ? kill_to_giving_up : term_to_kill);
  }

  /// When the next step is due, if it is known.
  [[nodiscard]] std::optional<TimePoint> next() const { return due_ ? due_ : deadline_; }

  [[nodiscard]] bool has_begun() const { return due_.has_value(); }

  [[nodiscard]] bool is_late() const { return is_late_; }

 private:
  std::optional<TimePoint> deadline_;
  std::optional<TimePoint> due_;
  bool is_killed_ = false;
  bool is_late_ = false;
};

class SshGuestShell final : public GuestShell {
 public:
  SshGuestShell(SshSession session, Clock& clock) : session_(std::move(session)), clock_(clock) {}

  ScriptOutcome run_script(const GuestScript& script, Cancellation& cancellation) override;

  [[nodiscard]] std::string host_key() const override { return host_key_of(session_.get()); }

 private:
  ScriptOutcome watch(ScriptChannel& channel, const GuestCommands& commands, const GuestScript& script,
                      Cancellation& cancellation);
  SshChannel open(Cancellation& cancellation);
  void start(const SshChannel& channel, const std::string& command, Cancellation& cancellation);
  void run_quietly(const std::string& command);

  SshSession session_;
  Clock& clock_;
};

SshChannel SshGuestShell::open(Cancellation& cancellation) {
  SshDriver driver(session_.get(), clock_, cancellation);
  const auto deadline = clock_.now() + command_deadline;
  SshChannel channel(ssh_channel_new(session_.get()));
  if (!channel) throw Error("open a channel to the guest: " + problem_of(session_.get()));
  const auto opened =
      driver.complete([&] { return ssh_channel_open_session(channel.get()); }, SSH_AGAIN, deadline);
  if (opened != SSH_OK)
    throw Error("open a channel to the guest: " +
                (opened ? problem_of(session_.get()) : "no answer in time"));
  return channel;
}

void SshGuestShell::start(const SshChannel& channel, const std::string& command, Cancellation& cancellation) {
  SshDriver driver(session_.get(), clock_, cancellation);
  const auto deadline = clock_.now() + command_deadline;
  const auto started = driver.complete(
      [&] { return ssh_channel_request_exec(channel.get(), command.c_str()); }, SSH_AGAIN, deadline);
  if (started != SSH_OK)
    throw Error("start a command in the guest: " +
                (started ? problem_of(session_.get()) : "no answer in time"));
}

/// A small command whose outcome does not matter, and is not waited for: the server has it, and ends it
/// without us. Never throws.
void SshGuestShell::run_quietly(const std::string& command) {
  try {
    Cancellation never;
    const auto channel = open(never);
    start(channel, command, never);
  } catch (const Error&) {  // NOLINT(bugprone-empty-catch): the caller's own outcome tells more
  }
}

ScriptOutcome SshGuestShell::run_script(const GuestScript& script, Cancellation& cancellation) {
  std::array<unsigned char, 16> random{};
  if (ssh_get_random(random.data(), random.size(), 1) != 1)
    throw Error("make a random name: libssh has no random bytes");
  const auto commands =
      guest_commands(script.shell, to_hex(random.data(), random.size()), script.content.size());
  // It listens before the command starts: how that ends can be said in the same breath as that it has begun.
  ScriptChannel channel(
      session_.get(), open(cancellation),
      {.marker = to_hex(random.data(), random.size()), .output = script.output, .errors = script.errors});
  start(channel.channel(), commands.run, cancellation);
  channel.send(commands.input_prefix + script.content);
  auto outcome = watch(channel, commands, script, cancellation);
  run_quietly(commands.remove);
  return outcome;
}

ScriptOutcome SshGuestShell::watch(ScriptChannel& channel, const GuestCommands& commands,
                                   const GuestScript& script, Cancellation& cancellation) {
  auto next_keepalive = clock_.now() + keepalive_every;
  auto next_watch = clock_.now() + watch_every;
  ForcedEnd end(script.deadline);
  while (!channel.has_ended()) {
    const auto now = clock_.now();
    if (now >= next_keepalive) {
      ssh_send_keepalive(session_.get());
      next_keepalive = now + keepalive_every;
    }
    if (script.watch && now >= next_watch) {
      script.watch();
      next_watch = now + watch_every;
    }
    const auto step = end.step(now, cancellation.requested() != 0);
    if (step == ForcedEnd::Step::give_up) break;
    if (step == ForcedEnd::Step::terminate) run_quietly(commands.terminate);
    if (step == ForcedEnd::Step::kill) run_quietly(commands.kill);
    if (step != ForcedEnd::Step::none) end.taken(clock_.now());
    auto until = next_keepalive;
    if (script.watch) until = std::min(until, next_watch);
    if (const auto next = end.next()) until = std::min(until, *next);
    channel.exchange(milliseconds_between(clock_.now(), until), end.has_begun() ? -1 : cancellation.fd());
  }
  if (end.is_late()) return ScriptTimedOut{};
  if (end.has_begun()) return ScriptStopped{};
  return channel.outcome();
}

}  // namespace

ConnectResult connect_ssh(const SshTarget& target, const ConnectLimits& limits, Clock& clock,
                          Cancellation& cancellation) {
  auto result = log_in(target, limits, clock, cancellation);
  if (auto* problem = std::get_if<ConnectProblem>(&result)) return std::move(*problem);
  return std::make_unique<SshGuestShell>(std::move(std::get<SshSession>(result)), clock);
}

}  // namespace sarde
