#include "core/system/fd_passing.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <sys/socket.h>

namespace sarde {

namespace {

constexpr std::size_t longest_text = 64U << 10U;
constexpr std::size_t most_files = 4;

/// Room for the descriptors, aligned as the kernel wants it (cmsg(3)).
struct ControlData {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * most_files)> bytes{};
};

}  // namespace

bool send_packet(int socket, const std::string& text, const std::vector<int>& files) {
  auto copy = text;
  iovec part{.iov_base = copy.data(), .iov_len = copy.size()};
  ControlData control;
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!files.empty() && files.size() <= most_files) {
    message.msg_control = control.bytes.data();
    message.msg_controllen = CMSG_SPACE(sizeof(int) * files.size());
    auto* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * files.size());
    std::memcpy(CMSG_DATA(header), files.data(), sizeof(int) * files.size());
  }
  return ::sendmsg(socket, &message, MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
}

std::optional<Packet> receive_packet(int socket) {
  Packet packet;
  packet.text.resize(longest_text);
  iovec part{.iov_base = packet.text.data(), .iov_len = packet.text.size()};
  ControlData control;
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes.data();
  message.msg_controllen = control.bytes.size();
  ssize_t got = 0;
  do {
    got = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  if (got <= 0) return std::nullopt;
  packet.text.resize(static_cast<std::size_t>(got));
  for (auto* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    std::array<int, most_files> files{};
    const auto count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    std::memcpy(files.data(), CMSG_DATA(header), sizeof(int) * count);
    for (std::size_t i = 0; i < count; ++i) packet.files.emplace_back(files.at(i));
  }
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) return std::nullopt;
  return packet;
}

}  // namespace sarde
