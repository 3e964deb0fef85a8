#include "core/guest/ssh_guest_shell.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <poll.h>

#include <libssh/server.h>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/guest/guest_commands.hpp"
#include "core/guest/script_channel.hpp"
#include "core/guest/ssh_handles.hpp"
#include "core/guest/tcp_connection.hpp"

namespace sarde {

using std::chrono::milliseconds;

namespace {

using Kind = ConnectProblem::Kind;

constexpr milliseconds keepalive_every(3'000);
constexpr milliseconds term_to_kill(5'000);
constexpr milliseconds kill_to_giving_up(3'000);
constexpr milliseconds command_deadline(15'000);
constexpr milliseconds watch_every(1'000);
constexpr int refused = 1;  ///< of a message callback: libssh answers with its own "no" (libssh/server.h)

std::string problem_of(ssh_session session) {
  return trimmed(ssh_get_error(session));
}

/// Drives libssh's non-blocking calls: the socket is polled together with the cancellation, up to a deadline.
class SshDriver {
 public:
  SshDriver(ssh_session session, Clock& clock, Cancellation& cancellation)
      : session_(session), clock_(clock), cancellation_(cancellation) {}

  /// Repeats `call` until it gives something other than `again`; that, or nothing past the deadline.
  template <typename Result>
  std::optional<Result> complete(const std::function<Result()>& call, Result again, TimePoint deadline) {
    for (;;) {
      acknowledge_quickly(ssh_get_fd(session_));
      const auto result = call();
      if (result != again) return result;
      const auto left = milliseconds_between(clock_.now(), deadline);
      if (left.count() == 0) return std::nullopt;
      wait(std::min(left, milliseconds(1'000)));
    }
  }

 private:
  void wait(milliseconds longest) {
    cancellation_.check();
    acknowledge_quickly(ssh_get_fd(session_));
    const auto flags = static_cast<unsigned>(ssh_get_poll_flags(session_));
    const auto events = static_cast<short>(POLLIN | ((flags & SSH_WRITE_PENDING) != 0 ? POLLOUT : 0));
    std::array<pollfd, 2> waiting{pollfd{ssh_get_fd(session_), events, 0},
                                  pollfd{cancellation_.fd(), POLLIN, 0}};
    static_cast<void>(::poll(waiting.data(), waiting.size(), static_cast<int>(longest.count())));
  }

  ssh_session session_;
  Clock& clock_;
  Cancellation& cancellation_;
};

std::string host_key_of(ssh_session session) {
  ssh_key raw = nullptr;
  if (ssh_get_server_publickey(session, &raw) != SSH_OK)
    throw Error("read the guest's host key: " + problem_of(session));
  const SshKey key(raw);
  char* base64 = nullptr;
  if (ssh_pki_export_pubkey_base64(key.get(), &base64) != SSH_OK)
    throw Error("read the guest's host key: libssh cannot export it");
  const CHandle<char, ssh_string_free_char> text(base64);
  return std::string(ssh_key_type_to_char(ssh_key_type(key.get()))) + " " + text.get();
}

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
      driver.complete<int>([&] { return ssh_channel_open_session(channel.get()); }, SSH_AGAIN, deadline);
  if (opened != SSH_OK)
    throw Error("open a channel to the guest: " +
                (opened ? problem_of(session_.get()) : "no answer in time"));
  return channel;
}

void SshGuestShell::start(const SshChannel& channel, const std::string& command, Cancellation& cancellation) {
  SshDriver driver(session_.get(), clock_, cancellation);
  const auto deadline = clock_.now() + command_deadline;
  const auto started = driver.complete<int>(
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
  bool is_late = false;
  std::optional<TimePoint> kill_at;
  std::optional<TimePoint> give_up_at;
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
    is_late = is_late || (!kill_at && script.deadline && now >= *script.deadline);
    if (!kill_at && (is_late || cancellation.requested() != 0)) {
      run_quietly(commands.terminate);
      kill_at = clock_.now() + term_to_kill;
    } else if (kill_at && !give_up_at && now >= *kill_at) {
      run_quietly(commands.kill);
      give_up_at = clock_.now() + kill_to_giving_up;
    } else if (give_up_at && now >= *give_up_at) {
      break;
    }
    auto until = next_keepalive;
    if (script.watch) until = std::min(until, next_watch);
    if (script.deadline && !kill_at) until = std::min(until, *script.deadline);
    if (kill_at) until = std::min(until, give_up_at.value_or(*kill_at));
    channel.exchange(milliseconds_between(clock_.now(), until), kill_at ? -1 : cancellation.fd());
  }
  if (is_late) return ScriptTimedOut{};
  if (kill_at) return ScriptStopped{};
  return channel.outcome();
}

class Connector {
 public:
  Connector(const SshTarget& target, Clock& clock, Cancellation& cancellation)
      : target_(target), clock_(clock), session_(ssh_new()), cancellation_(cancellation) {
    if (!session_) throw Error("make an SSH session: out of memory");
  }

  ConnectResult connect(UniqueFd socket, TimePoint banner_deadline, milliseconds until_login) {
    configure(std::move(socket));
    SshDriver driver(session_.get(), clock_, cancellation_);
    auto* session = session_.get();
    // Both sides begin with a line of text (RFC 4253, 4.2). We do not wait for theirs first: passt tells a
    // guest that a connection stands only when there is something to deliver.
    constexpr int banner_is_here = 1;
    auto connected = driver.complete<int>(
        [&] {
          const int result = ssh_connect(session);
          return result == SSH_AGAIN && ssh_get_serverbanner(session) != nullptr ? banner_is_here : result;
        },
        SSH_AGAIN, banner_deadline);
    if (!connected) return ConnectProblem{Kind::unreachable, "connected, but no SSH server speaks"};
    deadline_ = clock_.now() + until_login;
    if (connected == banner_is_here)
      connected = driver.complete<int>([&] { return ssh_connect(session); }, SSH_AGAIN, deadline_);
    if (connected != SSH_OK)
      return ConnectProblem{Kind::unreachable,
                            connected ? problem_of(session_.get()) : "the key exchange takes too long"};
    if (target_.known_host_key && host_key_of(session_.get()) != *target_.known_host_key) {
      return ConnectProblem{Kind::host_key_changed,
                            "the host key there is not the one that was seen when the VM was prepared"};
    }
    if (auto problem = log_in(driver)) return *problem;
    return std::make_unique<SshGuestShell>(std::move(session_), clock_);
  }

 private:
  void configure(UniqueFd socket) {
    set(SSH_OPTIONS_HOST, target_.address.c_str());
    set(SSH_OPTIONS_USER, target_.username.c_str());
    const bool no = false;
    set(SSH_OPTIONS_PROCESS_CONFIG, &no);
    set(SSH_OPTIONS_KNOWNHOSTS, "/dev/null");
    set(SSH_OPTIONS_GLOBAL_KNOWNHOSTS, "/dev/null");
    // Hardware AES with its MAC in one: twice as fast here as what libssh would choose.
    for (const auto direction : {SSH_OPTIONS_CIPHERS_C_S, SSH_OPTIONS_CIPHERS_S_C}) {
      set(direction,
          "aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,aes128-ctr,aes256-"
          "ctr");
    }
    const int fd = socket.get();
    set(SSH_OPTIONS_FD, &fd);
    static_cast<void>(socket.release());  // the session's now: ssh_disconnect closes it
    ssh_set_blocking(session_.get(), 0);
    // What the guest asks of us is none of its business: channels, forwards. libssh would keep each such
    // question.
    ssh_set_message_callback(
        session_.get(), [](ssh_session, ssh_message, void*) { return refused; }, nullptr);
  }

  void set(ssh_options_e option, const void* value) {
    if (ssh_options_set(session_.get(), option, value) != SSH_OK)
      throw Error("set up SSH: " + problem_of(session_.get()));
  }

  std::optional<ConnectProblem> log_in(SshDriver& driver) {
    const auto attempt = [&](const std::function<int()>& call) {
      return driver.complete<int>(call, SSH_AUTH_AGAIN, deadline_).value_or(SSH_AUTH_ERROR);
    };
    auto* session = session_.get();
    if (!target_.identity_file.empty()) {
      const auto key = private_key();
      if (attempt([&] { return ssh_userauth_publickey(session, nullptr, key.get()); }) == SSH_AUTH_SUCCESS)
        return std::nullopt;
    }
    auto result =
        attempt([&] { return ssh_userauth_password(session, nullptr, target_.password.reveal().c_str()); });
    if (result == SSH_AUTH_DENIED) result = keyboard_interactive(attempt);
    if (result == SSH_AUTH_SUCCESS) return std::nullopt;
    const auto why = problem_of(session);
    if (result == SSH_AUTH_ERROR && !why.starts_with("Access denied") && !why.starts_with("Authentication"))
      return ConnectProblem{Kind::unreachable, why};
    return ConnectProblem{
        Kind::login_refused,
        "the guest's SSH server refuses user " + quote(target_.username) + " with " +
            (target_.identity_file.empty() ? "this password" : "this key and this password")};
  }

  [[nodiscard]] SshKey private_key() const {
    ssh_key raw = nullptr;
    if (ssh_pki_import_privkey_file(target_.identity_file.c_str(), nullptr, nullptr, nullptr, &raw) !=
        SSH_OK) {
      throw Error("read identity file " + target_.identity_file.string() +
                  ": it is no private key without a passphrase, or may not be read");
    }
    return SshKey(raw);
  }

  /// Some servers ask for the password only this way.
  template <typename Attempt>
  int keyboard_interactive(const Attempt& attempt) {
    auto* session = session_.get();
    auto result = attempt([&] { return ssh_userauth_kbdint(session, nullptr, nullptr); });
    for (int round = 0; result == SSH_AUTH_INFO && round < 5; ++round) {
      for (int i = 0; i < ssh_userauth_kbdint_getnprompts(session); ++i) {
        ssh_userauth_kbdint_setanswer(session, static_cast<unsigned>(i), target_.password.reveal().c_str());
      }
      result = attempt([&] { return ssh_userauth_kbdint(session, nullptr, nullptr); });
    }
    return result;
  }

  const SshTarget& target_;
  Clock& clock_;
  SshSession session_;
  Cancellation& cancellation_;
  TimePoint deadline_;
};

}  // namespace

ConnectResult connect_ssh(const SshTarget& target, const ConnectLimits& limits, Clock& clock,
                          Cancellation& cancellation) {
  const auto banner_deadline = clock.now() + limits.until_banner;
  auto socket = connect_tcp(target.address, target.port, banner_deadline, clock, cancellation);
  if (const auto* why = std::get_if<std::string>(&socket)) return ConnectProblem{Kind::unreachable, *why};
  return Connector(target, clock, cancellation)
      .connect(std::move(std::get<UniqueFd>(socket)), banner_deadline, limits.until_login);
}

}  // namespace sarde
