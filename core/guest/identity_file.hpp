#pragma once

#include <filesystem>

#include "core/guest/ssh_handles.hpp"

namespace sarde {

/// Reads a private key for logging into guests. Throws Error, the administrator's mistake (Blame::job, for
/// another try would not help): the file is missing, unreadable, a folder, no private key, or protected by a
/// passphrase, which nobody could type.
SshKey read_identity_file(const std::filesystem::path& file);

}  // namespace sarde
