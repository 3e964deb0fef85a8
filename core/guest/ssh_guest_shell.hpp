#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "core/foundation/secret.hpp"
#include "core/guest/guest_shell.hpp"
#include "core/system/clock.hpp"

namespace sarde {

struct SshTarget {
  std::string address;  ///< numeric, IPv4 or IPv6
  std::uint16_t port = 22;
  std::string username;
  Secret password;
  std::filesystem::path identity_file;        ///< empty: none
  std::optional<std::string> known_host_key;  ///< `type base64`; none: any key is accepted
};

/// Why there is no connection. This is expected while a guest boots.
struct ConnectProblem {
  enum class Kind {
    unreachable,       ///< nothing answers, or not yet like an SSH server
    host_key_changed,  ///< it is not the guest that was there before
    login_refused,     ///< the SSH server accepts neither the key nor the password
  };
  Kind kind = Kind::unreachable;
  std::string why;
};

using ConnectResult = std::variant<std::unique_ptr<GuestShell>, ConnectProblem>;

struct ConnectLimits {
  std::chrono::milliseconds until_banner{1'000};  ///< for TCP and the server's first bytes
  std::chrono::milliseconds until_login{20'000};  ///< after that, for the key exchange and the login
};

/// Connects and logs in, with a single attempt. Throws Cancelled, and throws Error for problems that another
/// attempt cannot solve (an identity file that cannot be read).
ConnectResult connect_ssh(const SshTarget& target, const ConnectLimits& limits, Clock& clock,
                          Cancellation& cancellation);

}  // namespace sarde
