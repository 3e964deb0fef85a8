#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "core/guest/ssh_handles.hpp"
#include "core/system/cancellation.hpp"
#include "core/system/clock.hpp"

namespace sarde {

/// Drives libssh's non-blocking calls: the socket is polled together with the cancellation, up to a deadline.
class SshDriver {
 public:
  SshDriver(ssh_session session, Clock& clock, Cancellation& cancellation)
      : session_(session), clock_(clock), cancellation_(cancellation) {}

  /// Repeats `call` until it returns something other than `again`, and returns that; SSH_ERROR (which is
  /// SSH_AUTH_ERROR, too) if the connection has ended; nothing once the deadline has passed. Throws
  /// Cancelled.
  std::optional<int> complete(const std::function<int()>& call, int again, TimePoint deadline);

 private:
  void wait(std::chrono::milliseconds longest);

  ssh_session session_;
  Clock& clock_;
  Cancellation& cancellation_;
};

/// What libssh says about the last call on this session that failed.
std::string problem_of(ssh_session session);

/// The server's host key: `type base64`. Throws Error.
std::string host_key_of(ssh_session session);

}  // namespace sarde
