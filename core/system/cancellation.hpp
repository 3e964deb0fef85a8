#pragma once

#include <atomic>
#include <memory>

#include "core/foundation/unique_fd.hpp"

namespace sarde {

/// Whether somebody asked this process to stop (SIGTERM, SIGINT, SIGHUP). The signals are blocked and arrive
/// on a descriptor, so every wait of the program can poll() for them and none is interrupted half-way.
class Cancellation {
 public:
  /// One that never asks (tests).
  Cancellation() = default;

  /// Blocks the three signals in this thread (threads started later inherit that) and listens for them.
  /// Throws Error.
  static Cancellation on_signals();

  /// Becomes readable when a signal came; poll() for POLLIN and leave the reading to requested(). -1: never.
  [[nodiscard]] int fd() const noexcept { return signals_.get(); }

  /// The signal that came, 0 if none did yet. Never blocks.
  int requested();

  /// Throws Cancelled, naming the signal, if one came.
  void check();

 private:
  UniqueFd signals_;
  /// Which signal came. Several threads may ask; one of them reads it from the descriptor.
  std::unique_ptr<std::atomic<int>> came_ = std::make_unique<std::atomic<int>>(0);
};

}  // namespace sarde
