#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/foundation/unique_fd.hpp"

namespace sarde {

/// One message between two processes of this program over a unix(7) socket of type SOCK_SEQPACKET: a text of
/// 64 KiB at most, and open files (SCM_RIGHTS).
struct Packet {
  std::string text = {};
  std::vector<UniqueFd> files = {};
};

/// Sends the text and the files, which stay open here. Returns false if the other side is gone.
bool send_packet(int socket, const std::string& text, const std::vector<int>& files = {});

/// Blocks until a packet comes (or for as long as the socket's own time limit). Nothing if the other side is
/// gone, or if what came is not whole.
std::optional<Packet> receive_packet(int socket);

}  // namespace sarde
