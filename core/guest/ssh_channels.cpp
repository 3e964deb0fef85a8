#include "core/guest/ssh_channels.hpp"

#include "core/foundation/error.hpp"
#include "core/guest/ssh_driver.hpp"

namespace sarde {

namespace {

constexpr std::chrono::milliseconds command_deadline(15'000);

}  // namespace

SshChannel open_channel(ssh_session session, Clock& clock, Cancellation& cancellation) {
  SshDriver driver(session, clock, cancellation);
  const auto deadline = clock.now() + command_deadline;
  SshChannel channel(ssh_channel_new(session));
  if (!channel) throw Error("open a channel to the guest: " + problem_of(session));
  const auto opened =
      driver.complete([&] { return ssh_channel_open_session(channel.get()); }, SSH_AGAIN, deadline);
  if (opened != SSH_OK)
    throw Error("open a channel to the guest: " + (opened ? problem_of(session) : "no answer in time"));
  return channel;
}

void start_command(ssh_session session, const SshChannel& channel, const std::string& command, Clock& clock,
                   Cancellation& cancellation) {
  SshDriver driver(session, clock, cancellation);
  const auto deadline = clock.now() + command_deadline;
  const auto started = driver.complete(
      [&] { return ssh_channel_request_exec(channel.get(), command.c_str()); }, SSH_AGAIN, deadline);
  if (started != SSH_OK)
    throw Error("start a command in the guest: " + (started ? problem_of(session) : "no answer in time"));
}

}  // namespace sarde
