#pragma once

#include <string>

#include "core/guest/guest_shell.hpp"

namespace sarde {

/// Runs a short script of ours in the guest and returns what it prints, at most 64 KiB; what it prints to
/// stderr is dropped, its exit code too. Throws Error, the host's fault, if it does not end by its deadline
/// or if the guest is lost, and Cancelled.
std::string ask_guest(GuestShell& guest, GuestScript script, Cancellation& cancellation);

}  // namespace sarde
