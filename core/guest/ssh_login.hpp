#pragma once

#include <variant>

#include "core/guest/ssh_handles.hpp"
#include "core/guest/ssh_target.hpp"
#include "core/system/cancellation.hpp"
#include "core/system/clock.hpp"

namespace sarde {

struct LoggedIn {
  SshSession session;
  bool without_credentials = false;  ///< the server wanted neither a key nor a password
};

using LoginResult = std::variant<LoggedIn, ConnectProblem>;

/// Connects to the target, checks its host key and logs in, once. Throws Cancelled, and Error for what no
/// second try can mend (an identity file that cannot be read).
LoginResult log_in(const SshTarget& target, const ConnectLimits& limits, Clock& clock,
                   Cancellation& cancellation);

}  // namespace sarde
