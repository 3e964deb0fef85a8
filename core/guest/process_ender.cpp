#include "core/guest/process_ender.hpp"

#include <array>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/guest/ssh_channels.hpp"
#include "core/guest/ssh_login.hpp"

namespace sarde {

using std::chrono::milliseconds;

namespace {

/// The command's own 8 s, and what a busy guest adds.
constexpr milliseconds patience(9'000);

constexpr std::size_t most_output = 65536;

/// Lines of the form `left 123 name`.
std::vector<std::string> named_in(const std::string& output, const std::string& word) {
  std::vector<std::string> processes;
  for (const auto& line : split(output, '\n')) {
    const auto words = split(printable_line(line, 200), ' ');
    if (words.size() >= 3 && words[0] == word && parse_number(words[1]))
      processes.push_back(words[2] + " (" + words[1] + ")");
  }
  return processes;
}

}  // namespace

ProcessEnder::ProcessEnder(ssh_session session, const SshTarget& target, const std::string& command,
                           Clock& clock)
    : clock_(clock), deadline_(clock.now() + patience) {
  try {
    start(session, command);
    return;
  } catch (const Error&) {
    channel_ = {};
  }
  try {
    Cancellation never;
    auto result = log_in(target, {}, clock, never);
    if (auto* problem = std::get_if<ConnectProblem>(&result)) throw Error(problem->why);
    own_ = std::move(std::get<LoggedIn>(result).session);
    start(own_.get(), command);
  } catch (const Error& error) {
    problem_ = error.what();
  }
}

void ProcessEnder::start(ssh_session session, const std::string& command) {
  Cancellation never;
  channel_ = open_channel(session, clock_, never);
  start_command(session, channel_, command, clock_, never);
  deadline_ = clock_.now() + patience;
}

bool ProcessEnder::has_ended() {
  if (!problem_.empty() || !channel_) return true;
  std::array<char, 4096> buffer{};
  for (;;) {
    const int got = ssh_channel_read_nonblocking(channel_.get(), buffer.data(), buffer.size(), 0);
    if (got <= 0) break;
    if (output_.size() < most_output) output_.append(buffer.data(), static_cast<std::size_t>(got));
  }
  if (ssh_channel_is_eof(channel_.get()) != 0 || ssh_channel_is_closed(channel_.get()) != 0) return true;
  if (clock_.now() < deadline_) return false;
  problem_ = "the guest does not answer";
  return true;
}

RemainingProcesses ProcessEnder::result() const {
  // Without its last word the command did not get to its end: nothing is known then.
  const auto lines = split(trimmed(output_), '\n');
  const bool is_complete = trimmed(lines.back()) == "done";
  return {
      .of_script = named_in(output_, "left"),
      .others = named_in(output_, "other"),
      .problem = problem_.empty() && !is_complete ? "the command for it did not get to its end" : problem_};
}

}  // namespace sarde
