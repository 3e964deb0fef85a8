#pragma once

#include <cstdint>
#include <filesystem>

#include "core/system/clock.hpp"
#include "core/system/environment.hpp"
#include "core/vm/qemu_account.hpp"

namespace sarde {

/// The network of one VM, which passt(1) provides to QEMU through a socket. It needs no privileges, and the
/// guest uses the host's own address for outgoing connections. Unlike QEMU's built-in network, it does not
/// give the guest access to services on the host's loopback interface.
struct PasstPlan {
  std::filesystem::path folder;  ///< for the socket and the process ID; created if it does not exist
  std::uint16_t guest_port = 22;
  QemuAccount qemu;
  gid_t group = 0;  ///< the job's folder's group, as which passt runs if root starts it
};

struct PasstNetwork {
  std::filesystem::path socket;
  std::uint16_t port = 0;  ///< on 127.0.0.1; forwarded to guest_port
};

/// What passt tells guests now: the host's own addresses, which guests take for theirs (and so cannot reach
/// the host by them), and its resolvers. A guest keeps what it was told when it booted, and passt reaches it
/// only as long as that is what passt would tell it now. Throws Error.
std::string passt_answers();

/// Starts passt and returns when it is ready. passt ends when the QEMU that has connected to it ends;
/// stop_passt() ends it earlier. Throws Error if passt is not installed or fails; then nothing is left
/// behind.
PasstNetwork start_passt(const PasstPlan& plan, const Environment& environment, Clock& clock,
                         Cancellation& cancellation);

/// Ends the passt process that was started in this folder, if it is still running. Throws Error if it does
/// not end.
void stop_passt(const std::filesystem::path& folder);

}  // namespace sarde
