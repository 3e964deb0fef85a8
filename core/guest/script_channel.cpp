#include "core/guest/script_channel.hpp"

#include <algorithm>
#include <poll.h>
#include <sys/ioctl.h>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/guest/ssh_driver.hpp"
#include "core/guest/tcp_connection.hpp"
#include "core/system/files.hpp"

namespace sarde {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

/// After the script's end its output may still be under way; but a process that it left behind can hold the
/// streams open for ever. Silence of this length decides; and where such a process goes on writing, this much
/// time, in which what is under way has long arrived.
constexpr milliseconds silence_after_exit(3'000);
constexpr milliseconds longest_after_exit(8'000);

constexpr std::size_t longest_prelude = 1U << 20U;

int wake_up(socket_t /*fd*/, int /*events*/, void* /*unused*/) {
  return 0;
}

}  // namespace

ScriptChannel::ScriptChannel(ssh_session session, SshChannel channel, Streams streams)
    : session_(session),
      channel_(std::move(channel)),
      streams_(std::move(streams)),
      event_(ssh_event_new()),
      last_data_(steady_clock::now()) {
  if (event_ == nullptr || ssh_event_add_session(event_, session_) != SSH_OK)
    throw Error("wait for the guest: libssh refused");
  attach_callbacks();
}

ScriptChannel::~ScriptChannel() {
  ssh_remove_channel_callbacks(channel_.get(), &callbacks_);
  ssh_event_remove_session(event_, session_);
  ssh_event_free(event_);
}

void ScriptChannel::attach_callbacks() {
  callbacks_.userdata = this;
  callbacks_.channel_data_function = [](ssh_session, ssh_channel, void* data, std::uint32_t size,
                                        int is_stderr, void* self) {
    return static_cast<ScriptChannel*>(self)->receive(static_cast<const char*>(data), size, is_stderr);
  };
  callbacks_.channel_eof_function = [](ssh_session, ssh_channel, void* self) {
    static_cast<ScriptChannel*>(self)->end_of_output_ = true;
  };
  callbacks_.channel_close_function = [](ssh_session, ssh_channel, void* self) {
    static_cast<ScriptChannel*>(self)->closed_ = true;
  };
  callbacks_.channel_exit_status_function = [](ssh_session, ssh_channel, int status, void* self) {
    static_cast<ScriptChannel*>(self)->exit_status_ = status;
    static_cast<ScriptChannel*>(self)->note_exit();
  };
  callbacks_.channel_exit_signal_function = [](ssh_session, ssh_channel, const char* signal, int, const char*,
                                               const char*, void* self) {
    static_cast<ScriptChannel*>(self)->exit_signal_ = signal;
    static_cast<ScriptChannel*>(self)->note_exit();
  };
  ssh_callbacks_init(&callbacks_);
  if (ssh_set_channel_callbacks(channel_.get(), &callbacks_) != SSH_OK)
    throw Error("wait for the guest: libssh refused");
}

void ScriptChannel::send(std::string input) {
  input_ = std::move(input);
  feed();
}

void ScriptChannel::feed() {
  while (sent_ < input_.size()) {
    const auto put = ssh_channel_write(
        channel_.get(), input_.data() + sent_,
        static_cast<std::uint32_t>(std::min<std::size_t>(input_.size() - sent_, 1U << 20U)));
    if (put <= 0) return;  // SSH_AGAIN, or lost: the exchange finds out which
    sent_ += static_cast<std::size_t>(put);
  }
  if (!input_ended_) ssh_channel_send_eof(channel_.get());
  input_ended_ = true;
}

std::size_t ScriptChannel::skip_to_marker(std::string_view data) {
  const auto begin = streams_.marker + " ";
  constexpr std::size_t longest_line = 100;
  const auto before = before_marker_.size();
  before_marker_ += data;
  for (auto at = before_marker_.find(begin, before - std::min(before, longest_line)); at != std::string::npos;
       at = before_marker_.find(begin, at + 1)) {
    const auto end = before_marker_.find('\n', at);
    if (end == std::string::npos) break;
    const auto words = split(std::string_view(before_marker_).substr(at, end - at), ' ');
    const auto pid = parse_number(words[1]);
    // A profile that shows what it reads shows the command with the marker in it.
    if (words.size() != 3 || !pid) continue;
    first_process_ = FirstProcess{.pid = *pid, .started = parse_number(trimmed(words[2])).value_or(0)};
    return end + 1 - before;
  }
  if (before_marker_.size() > longest_prelude) before_marker_.erase(0, before_marker_.size() - longest_line);
  return data.size();
}

void ScriptChannel::note_exit() {
  if (!exited_) exited_ = steady_clock::now();
}

int ScriptChannel::receive(const char* data, std::uint32_t size, int is_stderr) {
  const auto begun = steady_clock::now();
  std::string_view rest(data, size);
  if (is_stderr == 0 && !first_process_) rest.remove_prefix(skip_to_marker(rest));
  try {
    if (write_failure_.empty())
      write_full(is_stderr != 0 ? streams_.errors : streams_.output, rest.data(), rest.size(),
                 "the job's log");
  } catch (const Error& error) {
    write_failure_ = error.what();
  }
  last_data_ = steady_clock::now();
  if (exited_) *exited_ += last_data_ - begun;  // a slow reader of the log shall not lose its end
  return static_cast<int>(size);
}

void ScriptChannel::exchange(milliseconds longest, int wake_fd) {
  if (!input_ended_) feed();
  if (!first_process_) acknowledge_quickly(ssh_get_fd(session_));
  if (exited_) longest = std::min(longest, milliseconds(200));
  if (!input_ended_) longest = std::min(longest, milliseconds(20));
  if (wake_fd >= 0) ssh_event_add_fd(event_, wake_fd, POLLIN, wake_up, nullptr);
  const int result = ssh_event_dopoll(event_, static_cast<int>(longest.count()));
  if (wake_fd >= 0) ssh_event_remove_fd(event_, wake_fd);
  if (result == SSH_ERROR || ssh_is_connected(session_) == 0) lost_ = true;
  if (!write_failure_.empty()) throw Error(write_failure_);
}

bool ScriptChannel::has_ended() const {
  if (lost_ || closed_) return true;
  if (!exited_) return false;
  const auto now = steady_clock::now();
  return end_of_output_ || now - std::max(last_data_, *exited_) > silence_after_exit ||
         now - *exited_ > longest_after_exit;
}

ScriptOutcome ScriptChannel::outcome() const {
  if (!exit_signal_.empty()) return ScriptKilled{exit_signal_};
  if (exit_status_ && first_process_) return ScriptExited{*exit_status_};
  if (exit_status_) {
    throw Error(
        "upload the script to the guest: its shell ended with " + std::to_string(*exit_status_) +
        " before the script began. Is /tmp full or read-only there? Does a login profile exit, read all "
        "of its input, or replace the shell (bash reads ~/.bashrc for such a command, zsh ~/.zshenv, "
        "fish ~/.config/fish/config.fish, tcsh ~/.tcshrc)? It said " +
        quote(printable_tail(before_marker_, 8), 1000));
  }
  throw Error("the connection to the VM was lost while the script ran: " +
              (lost_ ? problem_of(session_) : "the guest closed it without an exit status"));
}

}  // namespace sarde
