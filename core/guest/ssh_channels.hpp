#pragma once

#include <string>

#include "core/guest/ssh_handles.hpp"
#include "core/system/clock.hpp"

namespace sarde {

/// A new channel of the session. Waits for up to 15 s. Throws Error and Cancelled.
SshChannel open_channel(ssh_session session, Clock& clock, Cancellation& cancellation);

/// Starts a command in a channel that has just been opened. Waits for up to 15 s until the server has
/// accepted it, but not for its end. Throws Error and Cancelled.
void start_command(ssh_session session, const SshChannel& channel, const std::string& command, Clock& clock,
                   Cancellation& cancellation);

}  // namespace sarde
