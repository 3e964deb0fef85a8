#include "core/guest/ssh_login.hpp"

#include <functional>

#include <libssh/server.h>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/guest/identity_file.hpp"
#include "core/guest/ssh_driver.hpp"
#include "core/guest/tcp_connection.hpp"

namespace sarde {

using std::chrono::milliseconds;

namespace {

using Kind = ConnectProblem::Kind;

constexpr int banner_is_here = 1;  ///< beside the results of ssh_connect, none of which is positive
constexpr int refused = 1;  ///< of a message callback: libssh answers with its own "no" (libssh/server.h)

void set(ssh_session session, ssh_options_e option, const void* value) {
  if (ssh_options_set(session, option, value) != SSH_OK) throw Error("set up SSH: " + problem_of(session));
}

/// A session that will speak over this socket, and reads no files of its own.
SshSession session_over(UniqueFd socket, const SshTarget& target) {
  SshSession owner(ssh_new());
  if (!owner) throw Error("make an SSH session: out of memory");
  auto* const session = owner.get();
  set(session, SSH_OPTIONS_HOST, target.address.c_str());
  set(session, SSH_OPTIONS_USER, target.username.c_str());
  const bool no = false;
  set(session, SSH_OPTIONS_PROCESS_CONFIG, &no);
  set(session, SSH_OPTIONS_KNOWNHOSTS, "/dev/null");
  set(session, SSH_OPTIONS_GLOBAL_KNOWNHOSTS, "/dev/null");
  offer_algorithms(session, target.algorithms);
  const int fd = socket.get();
  set(session, SSH_OPTIONS_FD, &fd);
  static_cast<void>(socket.release());  // the session's now: end_session closes it
  ssh_set_blocking(session, 0);
  // What the guest asks of us is none of its business: channels, forwards. libssh would keep each such
  // question.
  ssh_set_message_callback(
      session, [](ssh_session, ssh_message, void*) { return refused; }, nullptr);
  return owner;
}

/// One attempt to get from a socket to a session that is logged in.
class Login {
 public:
  Login(SshSession session, const SshTarget& target, Clock& clock, Cancellation& cancellation)
      : session_(std::move(session)),
        target_(target),
        clock_(clock),
        driver_(session_.get(), clock, cancellation) {}

  LoginResult run(TimePoint banner_deadline, milliseconds until_login) {
    auto connected = hear_banner(banner_deadline);
    if (!connected) return ConnectProblem{Kind::unreachable, "connected, but no SSH server speaks"};
    deadline_ = clock_.now() + until_login;
    if (connected == banner_is_here)
      connected = driver_.complete([this] { return ssh_connect(session_.get()); }, SSH_AGAIN, deadline_);
    if (connected != SSH_OK) {
      const auto why = connected ? problem_of(session_.get()) : "the key exchange takes too long";
      return ConnectProblem{why.starts_with("kex error : no match") ? Kind::no_algorithm : Kind::unreachable,
                            why};
    }
    if (target_.known_host_key && host_key_of(session_.get()) != *target_.known_host_key) {
      return ConnectProblem{Kind::host_key_changed,
                            "the host key there is not the one that was seen when the VM was prepared"};
    }
    const bool is_open_to_all =
        attempt([&] { return ssh_userauth_none(session_.get(), nullptr); }) == SSH_AUTH_SUCCESS;
    if (!is_open_to_all)
      if (auto problem = authenticate()) return *problem;
    return LoggedIn{.session = std::move(session_), .without_credentials = is_open_to_all};
  }

 private:
  /// Both sides begin with a line of text (RFC 4253, 4.2). We do not wait for theirs first: passt tells a
  /// guest that a connection stands only when there is something to deliver.
  std::optional<int> hear_banner(TimePoint deadline) {
    auto* session = session_.get();
    return driver_.complete(
        [session] {
          const int result = ssh_connect(session);
          return result == SSH_AGAIN && ssh_get_serverbanner(session) != nullptr ? banner_is_here : result;
        },
        SSH_AGAIN, deadline);
  }

  std::optional<ConnectProblem> authenticate() {
    auto* session = session_.get();
    if (!target_.identity_file.empty()) {
      const auto key = read_identity_file(target_.identity_file);
      if (attempt([&] { return ssh_userauth_publickey(session, nullptr, key.get()); }) == SSH_AUTH_SUCCESS)
        return std::nullopt;
    }
    auto result =
        attempt([&] { return ssh_userauth_password(session, nullptr, target_.password.reveal().c_str()); });
    if (result == SSH_AUTH_DENIED) result = keyboard_interactive();
    // Last, because an agent may offer more keys than a server lets one try.
    if (result != SSH_AUTH_SUCCESS && target_.use_agent)
      result = attempt([&] { return ssh_userauth_agent(session, nullptr); });
    if (result == SSH_AUTH_SUCCESS) return std::nullopt;
    // libssh may still have the words of an earlier attempt, which was refused.
    if (is_late_) return ConnectProblem{Kind::unreachable, "no answer to the login in time"};
    if (ssh_get_fd(session) < 0)
      return ConnectProblem{Kind::unreachable, "the connection ended during the login"};
    const auto why = problem_of(session);
    if (result == SSH_AUTH_ERROR && !why.starts_with("Access denied") && !why.starts_with("Authentication"))
      return ConnectProblem{Kind::unreachable, why};
    if (const auto said = said_by_server(); lowered(said).find("booting up") != said.npos)
      return ConnectProblem{Kind::unreachable, "no logins yet: " + quote(said)};  // pam_nologin(8)
    return ConnectProblem{
        Kind::login_refused,
        "the guest's SSH server refuses user " + quote(target_.username) + " with " +
            (target_.identity_file.empty() ? "this password" : "this key and this password") +
            (target_.use_agent ? ", and with the keys of the SSH agent" : "") + accepted_methods()};
  }

  std::string said_by_server() {
    const CHandle<char, ssh_string_free_char> banner(ssh_get_issue_banner(session_.get()));
    return banner ? banner.get() : "";
  }

  /// " (it accepts only keys)" where that explains a refusal.
  std::string accepted_methods() {
    const auto methods = static_cast<unsigned>(ssh_userauth_list(session_.get(), nullptr));
    const bool takes_passwords = (methods & (SSH_AUTH_METHOD_PASSWORD | SSH_AUTH_METHOD_INTERACTIVE)) != 0;
    return methods == 0 || takes_passwords ? "" : "; it accepts no passwords, only keys (identity-file)";
  }

  /// Some servers ask for the password only this way.
  int keyboard_interactive() {
    auto* session = session_.get();
    const auto ask = [session] { return ssh_userauth_kbdint(session, nullptr, nullptr); };
    auto result = attempt(ask);
    for (int round = 0; result == SSH_AUTH_INFO && round < 5; ++round) {
      for (int i = 0; i < ssh_userauth_kbdint_getnprompts(session); ++i) {
        ssh_userauth_kbdint_setanswer(session, static_cast<unsigned>(i), target_.password.reveal().c_str());
      }
      result = attempt(ask);
    }
    return result;
  }

  int attempt(const std::function<int()>& call) {
    const auto result = driver_.complete(call, SSH_AUTH_AGAIN, deadline_);
    if (!result) is_late_ = true;
    return result.value_or(SSH_AUTH_ERROR);
  }

  SshSession session_;
  const SshTarget& target_;
  Clock& clock_;
  SshDriver driver_;
  TimePoint deadline_;
  bool is_late_ = false;  ///< an attempt was not answered
};

}  // namespace

LoginResult log_in(const SshTarget& target, const ConnectLimits& limits, Clock& clock,
                   Cancellation& cancellation) {
  const auto banner_deadline = clock.now() + limits.until_banner;
  auto socket = connect_tcp(target.address, target.port, banner_deadline, clock, cancellation);
  if (const auto* why = std::get_if<std::string>(&socket)) return ConnectProblem{Kind::unreachable, *why};
  auto session = session_over(std::move(std::get<UniqueFd>(socket)), target);
  return Login(std::move(session), target, clock, cancellation).run(banner_deadline, limits.until_login);
}

}  // namespace sarde
