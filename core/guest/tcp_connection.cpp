#include "core/guest/tcp_connection.hpp"

#include <array>
#include <cerrno>
#include <memory>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include "core/foundation/c_handle.hpp"
#include "core/foundation/error.hpp"
#include "core/system/files.hpp"

namespace sarde {

using std::chrono::milliseconds;

namespace {

/// For how long data may stay unacknowledged before the kernel gives a connection up: a guest whose network
/// died.
constexpr int give_up_ms = 10'000;

using AddressList = CHandle<addrinfo, freeaddrinfo>;

void set_option(int socket, int level, int name, int value) {
  static_cast<void>(::setsockopt(socket, level, name, &value, sizeof value));
}

/// Waits for events; false when the deadline comes first.
bool wait_for(int socket, short events, TimePoint deadline, Clock& clock, Cancellation& cancellation) {
  for (;;) {
    cancellation.check();
    const auto left = milliseconds_between(clock.now(), deadline);
    if (left.count() == 0) return false;
    std::array<pollfd, 2> waiting{pollfd{socket, events, 0}, pollfd{cancellation.fd(), POLLIN, 0}};
    if (::poll(waiting.data(), waiting.size(), static_cast<int>(left.count())) > 0 && waiting[0].revents != 0)
      return true;
  }
}

}  // namespace

std::variant<UniqueFd, std::string> connect_tcp(const std::string& address, std::uint16_t port,
                                                TimePoint deadline, Clock& clock,
                                                Cancellation& cancellation) {
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = ::getaddrinfo(address.c_str(), std::to_string(port).c_str(), &hints, &found);
      error != 0) {
    return "'" + address + "' is no address: " + ::gai_strerror(error);
  }
  const AddressList list(found);
  UniqueFd socket(::socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) throw Error("make a socket: " + errno_text(errno));
  set_option(socket.get(), IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(socket.get(), IPPROTO_TCP, TCP_USER_TIMEOUT, give_up_ms);
  if (::connect(socket.get(), list->ai_addr, list->ai_addrlen) != 0) {
    if (errno != EINPROGRESS) return errno_text(errno);
    if (!wait_for(socket.get(), POLLOUT, deadline, clock, cancellation)) return "no answer in time";
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return errno_text(error);
  }
  return socket;
}

void acknowledge_quickly(int socket) {
  set_option(socket, IPPROTO_TCP, TCP_QUICKACK, 1);
}

}  // namespace sarde
