#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/foundation/secret.hpp"

namespace sarde {

/// What an image says of the VM in it:
/// `{"users":[{"username","password"}],"services":[{"service","port","protocol"}]}`. Of the users the first
/// counts, of the services the one called ssh.
struct VmConfig {
  std::optional<std::string> username;
  std::optional<Secret> password;
  std::optional<std::uint16_t> ssh_port;
  bool has_nameless_user = false;  ///< the first user has no username: nobody is meant
};

/// Throws Error (the job's fault) naming `what`.
VmConfig parse_vm_config(std::string_view text, const std::string& what);

/// What an image's maker should look at in a vm config that can be read, a sentence each: keys that nothing
/// reads, a missing user or password.
std::vector<std::string> doubts_about_vm_config(std::string_view text);

}  // namespace sarde
