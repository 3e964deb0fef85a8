#pragma once

#include <string>

namespace sarde {

/// Does this host's neighbour table (arp(7)) have that MAC address for the IPv4 address? Asks for it first,
/// with a datagram, and does not wait for the answer: false until it is there. False for what is no IPv4
/// address.
bool is_neighbour(const std::string& address, const std::string& mac_address);

}  // namespace sarde
