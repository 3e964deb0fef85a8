#pragma once

#include <filesystem>
#include <string>

namespace sarde {

/// Makes an Ed25519 key for one job's guest. The private key goes into the file, which only this account can
/// read; returns the public key as ~/.ssh/authorized_keys has it. Throws Error.
std::string create_job_key(const std::filesystem::path& private_key_file);

}  // namespace sarde
