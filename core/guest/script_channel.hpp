#pragma once

#include <chrono>
#include <optional>
#include <string>

#include <libssh/callbacks.h>

#include "core/guest/guest_commands.hpp"
#include "core/guest/guest_shell.hpp"
#include "core/guest/ssh_handles.hpp"

namespace sarde {

/// The channel of one script while it runs: the input sent to it, the output passed on to the given
/// descriptors, and how it ended.
class ScriptChannel {
 public:
  struct Streams {
    std::string marker;  ///< begins the line on stdout after which the script's own output begins
    int output;
    int errors;
  };

  /// Listens to the channel. The command must be started in the channel afterwards.
  ScriptChannel(ssh_session session, SshChannel channel, Streams streams);
  ScriptChannel(const ScriptChannel&) = delete;
  ScriptChannel& operator=(const ScriptChannel&) = delete;
  ~ScriptChannel();

  [[nodiscard]] const SshChannel& channel() const { return channel_; }

  /// Queues the standard input, which ends after `input`.
  void send(std::string input);

  /// Handles incoming data for at most `longest`, or until `wake_fd` is readable. Throws Error if an output
  /// descriptor of this program is closed.
  void exchange(std::chrono::milliseconds longest, int wake_fd);

  [[nodiscard]] bool has_ended() const;

  [[nodiscard]] bool is_lost() const { return lost_; }

  /// Nothing before the script has begun.
  [[nodiscard]] const std::optional<FirstProcess>& first_process() const { return first_process_; }

  /// How the script ended; may be called only after it has ended. Throws an Error with the host at fault if
  /// the connection was lost or the script never began.
  [[nodiscard]] ScriptOutcome outcome() const;

 private:
  int receive(const char* data, std::uint32_t size, int is_stderr);
  void feed();
  void note_exit();
  std::size_t skip_to_marker(std::string_view data);
  void attach_callbacks();

  ssh_session session_;
  SshChannel channel_;
  Streams streams_;
  ssh_event event_;
  ssh_channel_callbacks_struct callbacks_{};
  std::string input_;
  std::size_t sent_ = 0;
  bool input_ended_ = false;
  std::string before_marker_;
  std::optional<FirstProcess> first_process_;  ///< set when the script begins
  std::optional<std::int32_t> exit_status_;
  std::string exit_signal_;
  bool end_of_output_ = false;
  bool closed_ = false;
  bool lost_ = false;
  std::string write_failure_;
  std::chrono::steady_clock::time_point last_data_;
  std::optional<std::chrono::steady_clock::time_point> exited_;
};

}  // namespace sarde
