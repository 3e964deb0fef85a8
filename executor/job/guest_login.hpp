#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "core/foundation/reporter.hpp"
#include "core/foundation/secret.hpp"
#include "core/guest/ssh_algorithms.hpp"
#include "core/image/layout/vm_config.hpp"

namespace sarde {

/// The parts of a login that one source provides.
struct PartialLogin {
  std::optional<std::string> username;
  std::optional<Secret> password;
};

/// The administrator's settings for logging into guests.
struct LoginRules {
  PartialLogin of_image = {};                  ///< from the section for the image; overrides the image's own
  PartialLogin otherwise = {};                 ///< from other places; used if the image has none
  std::filesystem::path identity_file = {};    ///< private key; empty: none
  bool use_agent = false;                      ///< the SSH agent's keys are tried, too
  std::optional<std::uint16_t> ssh_port = {};  ///< nothing: the image's, or else 22
  SshAlgorithms algorithms = SshAlgorithms::modern;
};

/// The login for a job's guest, and the port of its SSH server.
struct GuestLogin {
  std::string username;
  Secret password;
  std::filesystem::path identity_file;
  bool use_agent = false;
  std::uint16_t port = 22;
  SshAlgorithms algorithms = SshAlgorithms::modern;
  std::string origin = {};  ///< where user name and password come from, for messages
};

/// Throws Error, the job's fault, if the login cannot be used. From then on `reporter` masks the password,
/// unless it equals the user's name.
GuestLogin login_for(const VmConfig& image, const LoginRules& rules, Reporter& reporter);

}  // namespace sarde
