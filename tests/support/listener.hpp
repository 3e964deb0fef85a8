#pragma once

#include <cerrno>
#include <netinet/in.h>
#include <sys/socket.h>

#include "core/foundation/error.hpp"
#include "core/foundation/unique_fd.hpp"
#include "core/system/files.hpp"

namespace sarde::testing {

inline sockaddr_in on_loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

/// A socket that listens on a free port of 127.0.0.1.
struct Listener {
  UniqueFd fd;
  std::uint16_t port = 0;

  Listener() : fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    auto address = on_loopback(0);
    auto* plain = reinterpret_cast<sockaddr*>(&address);
    socklen_t size = sizeof address;
    if (!fd || ::bind(fd.get(), plain, size) != 0 || ::listen(fd.get(), 64) != 0 ||
        ::getsockname(fd.get(), plain, &size) != 0)
      throw Error("listen on the loopback interface: " + errno_text(errno));
    port = ntohs(address.sin_port);
  }
};

}  // namespace sarde::testing
