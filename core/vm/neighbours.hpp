#pragma once

#include <string>

namespace sarde {

/// Whether this host's neighbour table (arp(7)) has this MAC address for the IPv4 address. Sends a datagram
/// first so that the kernel asks for the address, but does not wait for the answer: the result is false until
/// it has arrived. False if `address` is not an IPv4 address.
bool is_neighbour(const std::string& address, const std::string& mac_address);

}  // namespace sarde
