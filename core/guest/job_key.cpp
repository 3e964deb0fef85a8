#include "core/guest/job_key.hpp"

#include <memory>

#include "core/foundation/error.hpp"
#include "core/guest/ssh_handles.hpp"
#include "core/system/files.hpp"

namespace sarde {

namespace {

struct FreeText {
  void operator()(char* text) const { ssh_string_free_char(text); }
};

using SshText = std::unique_ptr<char, FreeText>;

}  // namespace

std::string create_job_key(const std::filesystem::path& private_key_file) {
  ssh_key made = nullptr;
  if (ssh_pki_generate(SSH_KEYTYPE_ED25519, 0, &made) != SSH_OK)
    throw Error("make an SSH key for the job: libssh could not make one");
  const SshKey key(made);
  char* text = nullptr;
  if (ssh_pki_export_privkey_base64(key.get(), nullptr, nullptr, nullptr, &text) != SSH_OK)
    throw Error("make an SSH key for the job: libssh could not write it");
  const SshText private_key(text);
  write_file(private_key_file, private_key.get(), 0600);
  if (ssh_pki_export_pubkey_base64(key.get(), &text) != SSH_OK)
    throw Error("make an SSH key for the job: libssh could not write its public half");
  const SshText public_key(text);
  return std::string("ssh-ed25519 ") + public_key.get();
}

}  // namespace sarde
