#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <variant>

#include "core/foundation/unique_fd.hpp"
#include "core/system/clock.hpp"

namespace sarde {

/// Connects to a numeric address and waits for the peer's first bytes, which stay to be read: an SSH server
/// speaks first, and a port forwarded into a guest that is not up accepts and then says nothing. Returns the
/// non-blocking socket, or why there is none. Throws Cancelled.
std::variant<UniqueFd, std::string> connect_and_hear(const std::string& address, std::uint16_t port,
                                                     std::chrono::milliseconds timeout, Clock& clock,
                                                     Cancellation& cancellation);

/// Makes the kernel acknowledge what comes next at once; good for a few packets only (tcp(7), TCP_QUICKACK).
/// Without it each round trip of a login can stall for 40 ms.
void acknowledge_quickly(int socket);

}  // namespace sarde
