#pragma once

#include <atomic>
#include <memory>

#include "core/foundation/unique_fd.hpp"

namespace sarde {

/// Whether this process has been asked to stop (SIGTERM, SIGINT, SIGHUP). The signals are blocked and arrive
/// on a descriptor, so every wait in the program can poll() for them and none is interrupted half-way.
class Cancellation {
 public:
  /// An object that never requests a stop (for tests).
  Cancellation() = default;

  /// Blocks the three signals in this thread (threads that are started later inherit this) and listens for
  /// them. Throws Error.
  static Cancellation on_signals();

  /// A descriptor that becomes readable when a signal has arrived. poll() it for POLLIN and leave the reading
  /// to requested(). It is -1 if no signal can arrive.
  [[nodiscard]] int fd() const noexcept { return signals_.get(); }

  /// The signal that has arrived, or 0 if none has arrived yet. Never blocks.
  int requested();

  /// Throws Cancelled, naming the signal, if one has arrived.
  void check();

 private:
  UniqueFd signals_;
  /// The signal that has arrived. Several threads may ask for it; one of them reads it from the descriptor.
  std::unique_ptr<std::atomic<int>> came_ = std::make_unique<std::atomic<int>>(0);
};

}  // namespace sarde
