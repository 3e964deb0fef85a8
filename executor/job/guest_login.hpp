#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "core/foundation/reporter.hpp"
#include "core/foundation/secret.hpp"
#include "core/image/layout/vm_config.hpp"

namespace sarde {

/// A login, as far as one source gives it.
struct PartialLogin {
  std::optional<std::string> username;
  std::optional<Secret> password;
};

/// What the administrator says about logging into guests.
struct LoginRules {
  PartialLogin of_image = {};                  ///< from the image's section: before the image's own
  PartialLogin otherwise = {};                 ///< from elsewhere: after the image's own
  std::filesystem::path identity_file = {};    ///< private key; empty: none
  std::optional<std::uint16_t> ssh_port = {};  ///< nothing: as the image has it, else 22
};

/// Who logs into a job's guest, and at which port of it.
struct GuestLogin {
  std::string username;
  Secret password;
  std::filesystem::path identity_file;
  std::uint16_t port = 22;
};

/// Throws Error, the job's fault, for a login that nobody can use. The password is masked in what `reporter`
/// writes from then on, unless it equals the user's name.
GuestLogin login_for(const VmConfig& image, const LoginRules& rules, Reporter& reporter);

}  // namespace sarde
