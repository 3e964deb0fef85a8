#pragma once

#include <libssh/libssh.h>

namespace sarde {

/// Which algorithms SSH may use.
enum class SshAlgorithms {
  modern,  ///< libssh's defaults
  legacy,  ///< those too that servers before 2014 need: SHA-1, CBC, ssh-rsa
};

/// Sets what a session offers, in its order of preference. Throws Error.
void offer_algorithms(ssh_session session, SshAlgorithms algorithms);

}  // namespace sarde
