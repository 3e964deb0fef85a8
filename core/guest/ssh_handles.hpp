#pragma once

#include <libssh/libssh.h>

#include "core/foundation/c_handle.hpp"

namespace sarde {

inline void end_session(ssh_session session) {
  // (ssh_disconnect leaves a socket open that the session was given.)
  ssh_silent_disconnect(session);
  ssh_free(session);
}

using SshSession = CHandle<ssh_session_struct, end_session>;
using SshChannel = CHandle<ssh_channel_struct, ssh_channel_free>;
using SshKey = CHandle<ssh_key_struct, ssh_key_free>;

}  // namespace sarde
