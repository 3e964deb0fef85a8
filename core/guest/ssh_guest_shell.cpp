#include "core/guest/ssh_guest_shell.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <poll.h>
#include <thread>

#include <libssh/server.h>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/guest/guest_commands.hpp"
#include "core/guest/process_ender.hpp"
#include "core/guest/script_channel.hpp"
#include "core/guest/ssh_channels.hpp"
#include "core/guest/ssh_driver.hpp"
#include "core/guest/ssh_handles.hpp"
#include "core/guest/ssh_login.hpp"

namespace sarde {

using std::chrono::milliseconds;

namespace {

constexpr milliseconds keepalive_every(3'000);
constexpr milliseconds watch_every(1'000);
constexpr milliseconds longest_silence(13'000);  ///< of a guest that was asked for a sign of life four times
constexpr milliseconds last_words(1'000);        ///< of a script whose processes have been ended

/// How long nothing has come.
class Silence {
 public:
  /// Up to `now`, when so many bytes have come in all. Time in which this process did not run does not count.
  milliseconds after(std::uint64_t bytes, TimePoint now) {
    constexpr milliseconds longest_turn(5'000);
    if (!looked_ || bytes != bytes_ || now - *looked_ > longest_turn) heard_ = now;
    bytes_ = bytes;
    looked_ = now;
    return milliseconds_between(heard_, now);
  }

  /// When it has lasted too long.
  [[nodiscard]] TimePoint deadline() const { return heard_ + longest_silence; }

 private:
  std::uint64_t bytes_ = 0;
  TimePoint heard_{};
  std::optional<TimePoint> looked_;
};

/// The channel of a command to which nobody listens: all that is noted is that it has ended.
class QuietChannel {
 public:
  explicit QuietChannel(SshChannel channel) : channel_(std::move(channel)) {
    callbacks_.userdata = this;
    callbacks_.channel_data_function = [](ssh_session, ssh_channel, void*, std::uint32_t size, int, void*) {
      return static_cast<int>(size);
    };
    callbacks_.channel_close_function = [](ssh_session, ssh_channel, void* self) { note_end(self); };
    // What the command has left behind may hold the channel open for ever.
    callbacks_.channel_exit_status_function = [](ssh_session, ssh_channel, int, void* self) {
      note_end(self);
    };
    callbacks_.channel_exit_signal_function = [](ssh_session, ssh_channel, const char*, int, const char*,
                                                 const char*, void* self) { note_end(self); };
    ssh_callbacks_init(&callbacks_);
    ssh_set_channel_callbacks(channel_.get(), &callbacks_);
  }

  QuietChannel(const QuietChannel&) = delete;
  QuietChannel& operator=(const QuietChannel&) = delete;

  ~QuietChannel() { ssh_remove_channel_callbacks(channel_.get(), &callbacks_); }

  [[nodiscard]] const SshChannel& channel() const { return channel_; }

  [[nodiscard]] bool has_ended() const { return has_ended_; }

 private:
  static void note_end(void* self) { static_cast<QuietChannel*>(self)->has_ended_ = true; }

  SshChannel channel_;
  ssh_channel_callbacks_struct callbacks_{};
  bool has_ended_ = false;
};

/// Does what precedes a script.
template <typename Work>
auto not_begun(const Work& work) {
  try {
    return work();
  } catch (const Error& error) {
    throw ScriptNotBegun(error.what());
  }
}

class SshGuestShell final : public GuestShell {
 public:
  SshGuestShell(LoggedIn login, SshTarget target, Clock& clock)
      : session_(std::move(login.session)),
        target_(std::move(target)),
        without_credentials_(login.without_credentials),
        clock_(clock) {
    target_.known_host_key = host_key_of(session_.get());
    ssh_set_counters(session_.get(), nullptr, &received_);
  }

  ScriptOutcome run_script(const GuestScript& script, Cancellation& cancellation) override;

  bool rest(milliseconds longest, int wake_fd) override;

  [[nodiscard]] std::string host_key() const override { return *target_.known_host_key; }

  [[nodiscard]] bool is_open_to_all() const override { return without_credentials_; }

 private:
  /// A script that is running.
  struct Running {
    const GuestScript& script;
    const std::string& nonce;
    ScriptChannel& channel;
  };

  ScriptOutcome watch(const Running& running, Cancellation& cancellation);
  RemainingProcesses end_processes(const Running& running);
  void run_quietly(const std::string& command);
  void finish_last(Cancellation& cancellation);

  ssh_counter_struct received_{};  ///< before the session, which counts in it
  SshSession session_;
  std::optional<QuietChannel> last_;  ///< of the last small command, which may still be running
  SshTarget target_;
  bool without_credentials_;
  Clock& clock_;
};

/// A small command whose outcome does not matter. Its end is waited for before the next command, and by
/// nobody if there is none. A guest that does not answer within seconds may still run it later. Never throws.
void SshGuestShell::run_quietly(const std::string& command) {
  constexpr milliseconds patience(3'000);
  try {
    Cancellation never;
    last_.emplace(open_channel(session_.get(), clock_, never, patience));
    start_command(session_.get(), last_->channel(), command, clock_, never, patience);
  } catch (const Error&) {  // NOLINT(bugprone-empty-catch): the caller's own outcome tells more
  }
}

/// Waits for the end of the last small command, for 5 s at most. Some Dropbears (2022.83 is one;
/// github.com/mkj/dropbear/pull/326) close a new channel without an answer if an earlier command ends between
/// the channel's opening and its own command. They start that all the same, and end the connection when it
/// prints something.
void SshGuestShell::finish_last(Cancellation& cancellation) {
  constexpr milliseconds longest(5'000);
  const auto deadline = clock_.now() + longest;
  while (last_ && !last_->has_ended() && clock_.now() < deadline) {
    cancellation.check();
    if (!rest(milliseconds_between(clock_.now(), deadline), cancellation.fd())) break;
  }
  last_.reset();
}

ScriptOutcome SshGuestShell::run_script(const GuestScript& script, Cancellation& cancellation) {
  std::array<unsigned char, 16> random{};
  if (ssh_get_random(random.data(), random.size(), 1) != 1)
    throw Error("make a random name: libssh has no random bytes");
  const auto nonce = to_hex(random.data(), random.size());
  const auto commands = guest_commands(script.shell, nonce, script.content.size(), script.environment);
  auto* session = session_.get();
  finish_last(cancellation);
  const auto outcome = [&] {
    // It listens before the command starts: how that ends can be said in the same breath as that it has
    // begun.
    ScriptChannel channel(session, not_begun([&] { return open_channel(session, clock_, cancellation); }),
                          {.marker = nonce, .output = script.output, .errors = script.errors});
    not_begun([&] { start_command(session, channel.channel(), commands.run, clock_, cancellation); });
    // From here on, the guest may run it.
    if (script.watch) script.watch();
    cancellation.check();
    channel.send(commands.input_prefix + script.content);
    return watch({.script = script, .nonce = nonce, .channel = channel}, cancellation);
  }();  // its channel is closed before the next is opened: some servers allow only one
  run_quietly(commands.remove);
  // Where PowerShell is, no Dropbear is, and a start of it takes a second.
  if (script.shell == "powershell") last_.reset();
  return outcome;
}

ScriptOutcome SshGuestShell::watch(const Running& running, Cancellation& cancellation) {
  const auto& [script, nonce, channel] = running;
  auto next_keepalive = clock_.now() + keepalive_every;
  auto next_watch = clock_.now() + watch_every;
  Silence silence;
  while (!channel.has_ended()) {
    const auto now = clock_.now();
    if (silence.after(received_.in_bytes, now) > longest_silence)
      throw Error("the connection to the VM was lost while the script ran: the guest has not answered for " +
                  duration_text(longest_silence));
    if (now >= next_keepalive) {
      // On a session that does not block, a call collects the answer to the last question or asks the next.
      ssh_send_keepalive(session_.get());
      ssh_send_keepalive(session_.get());
      next_keepalive = now + keepalive_every;
    }
    if (script.watch && now >= next_watch) {
      script.watch();
      next_watch = now + watch_every;
    }
    if (script.deadline && now >= *script.deadline) {
      static_cast<void>(end_processes(running));
      return ScriptTimedOut{};
    }
    if (cancellation.requested() != 0) return ScriptStopped{end_processes(running)};
    auto until = std::min(next_keepalive, silence.deadline() + milliseconds(1));
    if (script.watch) until = std::min(until, next_watch);
    if (script.deadline) until = std::min(until, *script.deadline);
    channel.exchange(milliseconds_between(clock_.now(), until), cancellation.fd());
  }
  return channel.outcome();
}

bool SshGuestShell::rest(milliseconds longest, int wake_fd) {
  if (ssh_get_fd(session_.get()) < 0) return false;
  std::array<pollfd, 2> polled{{{.fd = ssh_get_fd(session_.get()), .events = POLLIN, .revents = 0},
                                {.fd = wake_fd, .events = POLLIN, .revents = 0}}};
  if (::poll(polled.data(), polled.size(), static_cast<int>(longest.count())) <= 0) return true;
  if (polled[0].revents == 0) return true;
  const std::unique_ptr<ssh_event_struct, decltype(&ssh_event_free)> event(ssh_event_new(), ssh_event_free);
  ssh_event_add_session(event.get(), session_.get());
  const bool is_well = ssh_event_dopoll(event.get(), 0) != SSH_ERROR;
  ssh_event_remove_session(event.get(), session_.get());
  return is_well && ssh_is_connected(session_.get()) == 1;
}

/// Ends all processes of the script, and passes on what they still write meanwhile.
RemainingProcesses SshGuestShell::end_processes(const Running& running) {
  const auto& [script, nonce, channel] = running;
  constexpr milliseconds slice(50);
  auto exchange_until = [&](const auto& done) {
    while (!done() && !channel.is_lost()) channel.exchange(slice, -1);
  };
  // It may be about to begin.
  const auto begun_by = clock_.now() + milliseconds(2'000);
  exchange_until([&] { return channel.first_process() || channel.has_ended() || clock_.now() >= begun_by; });
  if (!channel.first_process()) return {.problem = "the script had not begun"};
  ProcessEnder ender(session_.get(), target_, end_command(script.shell, nonce, *channel.first_process()),
                     clock_);
  while (!ender.has_ended()) {  // in a connection of its own, perhaps
    if (channel.is_lost())
      std::this_thread::sleep_for(slice);
    else
      channel.exchange(slice, -1);
  }
  const auto deadline = clock_.now() + last_words;
  exchange_until([&] { return channel.has_ended() || clock_.now() >= deadline; });
  return ender.result();
}

}  // namespace

ConnectResult connect_ssh(const SshTarget& target, const ConnectLimits& limits, Clock& clock,
                          Cancellation& cancellation) {
  auto result = log_in(target, limits, clock, cancellation);
  if (auto* problem = std::get_if<ConnectProblem>(&result)) return std::move(*problem);
  return std::make_unique<SshGuestShell>(std::move(std::get<LoggedIn>(result)), target, clock);
}

}  // namespace sarde
