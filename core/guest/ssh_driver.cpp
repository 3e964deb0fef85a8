#include "core/guest/ssh_driver.hpp"

#include <algorithm>
#include <array>
#include <poll.h>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/guest/tcp_connection.hpp"

namespace sarde {

using std::chrono::milliseconds;

std::optional<int> SshDriver::complete(const std::function<int()>& call, int again, TimePoint deadline) {
  for (;;) {
    acknowledge_quickly(ssh_get_fd(session_));
    const auto result = call();
    if (result != again) return result;
    // libssh closes the socket of a connection that has ended; some calls go on saying `again` all the same.
    if (ssh_get_fd(session_) < 0) return SSH_ERROR;
    const auto left = milliseconds_between(clock_.now(), deadline);
    if (left.count() == 0) return std::nullopt;
    wait(std::min(left, milliseconds(1'000)));
  }
}

void SshDriver::wait(milliseconds longest) {
  cancellation_.check();
  acknowledge_quickly(ssh_get_fd(session_));
  const auto flags = static_cast<unsigned>(ssh_get_poll_flags(session_));
  const auto events = static_cast<short>(POLLIN | ((flags & SSH_WRITE_PENDING) != 0 ? POLLOUT : 0));
  std::array<pollfd, 2> waiting{pollfd{ssh_get_fd(session_), events, 0},
                                pollfd{cancellation_.fd(), POLLIN, 0}};
  static_cast<void>(::poll(waiting.data(), waiting.size(), static_cast<int>(longest.count())));
}

std::string problem_of(ssh_session session) {
  const auto text = trimmed(ssh_get_error(session));
  return text.empty() || text == "Socket error: Success" ? "the connection was closed" : text;
}

std::string host_key_of(ssh_session session) {
  ssh_key raw = nullptr;
  if (ssh_get_server_publickey(session, &raw) != SSH_OK)
    throw Error("read the guest's host key: " + problem_of(session));
  const SshKey key(raw);
  char* base64 = nullptr;
  if (ssh_pki_export_pubkey_base64(key.get(), &base64) != SSH_OK)
    throw Error("read the guest's host key: libssh cannot export it");
  const CHandle<char, ssh_string_free_char> text(base64);
  return std::string(ssh_key_type_to_char(ssh_key_type(key.get()))) + " " + text.get();
}

}  // namespace sarde
