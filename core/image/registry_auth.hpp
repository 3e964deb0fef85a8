#pragma once

#include <filesystem>
#include <string>

#include "core/foundation/secret.hpp"

namespace sarde {

struct RegistryCredentials {
  std::string registry;  ///< host[:port]
  std::string username;
  Secret password;
};

/// Writes an auth file (containers-auth.json(5)) with these credentials only, mode 0600. Throws Error.
void write_registry_auth(const std::filesystem::path& file, const RegistryCredentials& credentials);

}  // namespace sarde
