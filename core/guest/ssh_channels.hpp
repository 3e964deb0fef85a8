#pragma once

#include <chrono>
#include <string>

#include "core/guest/ssh_handles.hpp"
#include "core/system/cancellation.hpp"
#include "core/system/clock.hpp"

namespace sarde {

/// How long a guest may take to answer a request.
constexpr std::chrono::milliseconds answer_patience(15'000);

/// A new channel of the session. Waits for up to `patience`. Throws Error and Cancelled.
SshChannel open_channel(ssh_session session, Clock& clock, Cancellation& cancellation,
                        std::chrono::milliseconds patience = answer_patience);

/// Starts a command in a channel that has just been opened. Waits for up to `patience` until the server has
/// accepted it, but not for its end. Throws Error and Cancelled.
void start_command(ssh_session session, const SshChannel& channel, const std::string& command, Clock& clock,
                   Cancellation& cancellation, std::chrono::milliseconds patience = answer_patience);

}  // namespace sarde
