#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <variant>

#include "core/foundation/unique_fd.hpp"
#include "core/system/clock.hpp"

namespace sarde {

/// Connects to a numeric address before a deadline of `clock`. Returns the non-blocking socket, or the reason
/// why there is no connection. Throws Cancelled. A connection to a port that is forwarded into a guest
/// succeeds even if the guest is not up.
std::variant<UniqueFd, std::string> connect_tcp(const std::string& address, std::uint16_t port,
                                                TimePoint deadline, Clock& clock, Cancellation& cancellation);

/// Makes the kernel acknowledge the next incoming data at once. This lasts for a few packets only (tcp(7),
/// TCP_QUICKACK). Without it, each round trip of a login can stall for 40 ms.
void acknowledge_quickly(int socket);

}  // namespace sarde
