#pragma once

#include <chrono>
#include <string>

#include "core/guest/guest_shell.hpp"

namespace sarde {

/// What a guest printed.
struct GuestAnswer {
  std::string text = {};
  std::chrono::system_clock::time_point arrived = {};  ///< its last bytes; the script may have ended later
};

/// Runs a short script of ours in the guest and returns what it prints; what it prints to stderr is dropped,
/// its exit code too. Empty if it does not end by its deadline. Throws Error, the host's fault, if the guest
/// is lost or prints more than 64 KiB, and Cancelled.
GuestAnswer ask_guest(GuestShell& guest, GuestScript script, Cancellation& cancellation);

}  // namespace sarde
