#pragma once

#include <string>
#include <vector>

#include "core/guest/guest_shell.hpp"
#include "core/guest/ssh_handles.hpp"
#include "core/guest/ssh_target.hpp"
#include "core/system/clock.hpp"

namespace sarde {

/// A command that ends a script's processes (end_command()), in a channel of its own, while the script's
/// channel goes on. If the server allows one channel for a connection only (OpenSSH's MaxSessions 1), it runs
/// in a connection of its own.
class ProcessEnder {
 public:
  /// `session` and `clock` must outlive it.
  ProcessEnder(ssh_session session, const SshTarget& target, const std::string& command, Clock& clock);

  /// Reads what has come of the command's output. Returns whether it has ended, or was given up. Never
  /// throws.
  bool has_ended();

  [[nodiscard]] RemainingProcesses result() const;

 private:
  void start(ssh_session session, const std::string& command);

  Clock& clock_;
  TimePoint deadline_;
  SshSession own_;  ///< before the channel, which is freed first
  SshChannel channel_;
  std::string output_;
  std::string problem_;
};

}  // namespace sarde
