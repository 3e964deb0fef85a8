#include "core/guest/identity_file.hpp"

#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>

#include "core/foundation/error.hpp"
#include "core/foundation/unique_fd.hpp"
#include "core/system/files.hpp"

namespace sarde {

namespace {

[[noreturn]] void refuse(const std::filesystem::path& file, const std::string& why) {
  throw Error(Blame::job, "read identity file " + file.string() + ": " + why);
}

int note_question(const char* /*prompt*/, char* /*answer*/, std::size_t /*size*/, int /*echo*/,
                  int /*verify*/, void* asked) {
  *static_cast<bool*>(asked) = true;
  return -1;
}

}  // namespace

SshKey read_identity_file(const std::filesystem::path& file) {
  const UniqueFd opened(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!opened) refuse(file, errno_text(errno));

  struct stat status {};

  if (::fstat(opened.get(), &status) != 0 || !S_ISREG(status.st_mode)) refuse(file, "it is no regular file");
  ssh_key raw = nullptr;
  bool asked = false;
  if (ssh_pki_import_privkey_file(file.c_str(), nullptr, note_question, &asked, &raw) == SSH_OK)
    return SshKey(raw);
  refuse(file, asked ? "it is protected by a passphrase; use a key without one (ssh-keygen -p removes it)"
                     : "it is not a private key that libssh can read");
}

}  // namespace sarde
