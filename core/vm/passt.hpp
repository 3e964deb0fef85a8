#pragma once

#include <cstdint>
#include <filesystem>

#include "core/system/clock.hpp"
#include "core/system/environment.hpp"
#include "core/vm/qemu_account.hpp"

namespace sarde {

/// The network of one VM, given to QEMU through a socket by passt(1): no privileges are needed, the guest
/// gets out with the host's own address, and, unlike with QEMU's built-in network, it does not reach what
/// listens on the host's loopback.
struct PasstPlan {
  std::filesystem::path
      folder;  ///< for the socket, the log and the number of the process; made if it is not there
  std::uint16_t guest_port = 22;
  QemuAccount qemu;
  gid_t group = 0;  ///< of the job's folder: passt, started by root, runs in it
};

struct PasstNetwork {
  std::filesystem::path socket;
  std::uint16_t port = 0;  ///< of 127.0.0.1: leads to guest_port
};

/// Starts passt. It ends when QEMU, connected to it once, ends; until then stop_passt() ends it. Blocks for a
/// moment. Throws Error where it is not installed, or cannot do it here, and leaves nothing behind then.
PasstNetwork start_passt(const PasstPlan& plan, const Environment& environment, Clock& clock,
                         Cancellation& cancellation);

/// Ends the passt that was started in this folder, if it still runs. Throws Error if it does not end.
void stop_passt(const std::filesystem::path& folder);

}  // namespace sarde
