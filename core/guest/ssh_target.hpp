#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "core/foundation/secret.hpp"
#include "core/guest/ssh_algorithms.hpp"

namespace sarde {

struct SshTarget {
  std::string address;  ///< numeric, IPv4 or IPv6
  std::uint16_t port = 22;
  std::string username;
  Secret password;
  std::filesystem::path identity_file;        ///< empty: none
  bool use_agent = false;                     ///< the agent's keys are tried, too: SSH_AUTH_SOCK
  std::optional<std::string> known_host_key;  ///< `type base64`; none: any
  SshAlgorithms algorithms = SshAlgorithms::modern;
};

/// Why there is no connection: expected while a guest boots.
struct ConnectProblem {
  enum class Kind {
    unreachable,       ///< nothing answers, or not yet as an SSH server does
    host_key_changed,  ///< it is not the guest that was there before
    login_refused,     ///< an SSH server that takes neither the key nor the password
    no_algorithm,      ///< the two sides have no algorithm in common
  };
  Kind kind = Kind::unreachable;
  std::string why;
};

struct ConnectLimits {
  std::chrono::milliseconds until_banner{1'000};  ///< for TCP and the server's first bytes
  std::chrono::milliseconds until_login{20'000};  ///< for the key exchange and the login after that
};

}  // namespace sarde
