#pragma once

#include <memory>
#include <variant>

#include "core/guest/guest_shell.hpp"
#include "core/guest/ssh_target.hpp"
#include "core/system/clock.hpp"

namespace sarde {

using ConnectResult = std::variant<std::unique_ptr<GuestShell>, ConnectProblem>;

/// Connects and logs in, with a single attempt. Throws Cancelled, and throws Error for problems that another
/// attempt cannot solve (an identity file that cannot be read).
ConnectResult connect_ssh(const SshTarget& target, const ConnectLimits& limits, Clock& clock,
                          Cancellation& cancellation);

}  // namespace sarde
