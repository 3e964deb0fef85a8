#include "core/guest/ssh_channels.hpp"

#include "core/foundation/error.hpp"
#include "core/guest/ssh_driver.hpp"

namespace sarde {

SshChannel open_channel(ssh_session session, Clock& clock, Cancellation& cancellation,
                        std::chrono::milliseconds patience) {
  SshDriver driver(session, clock, cancellation);
  const auto deadline = clock.now() + patience;
  SshChannel channel(ssh_channel_new(session));
  if (!channel) throw Error("open a channel to the guest: " + problem_of(session));
  const auto opened =
      driver.complete([&] { return ssh_channel_open_session(channel.get()); }, SSH_AGAIN, deadline);
  if (opened != SSH_OK)
    throw Error("open a channel to the guest: " + (opened ? problem_of(session) : "no answer in time"));
  return channel;
}

void start_command(ssh_session session, const SshChannel& channel, const std::string& command, Clock& clock,
                   Cancellation& cancellation, std::chrono::milliseconds patience) {
  SshDriver driver(session, clock, cancellation);
  const auto deadline = clock.now() + patience;
  const auto request = [&] {
    const auto result = ssh_channel_request_exec(channel.get(), command.c_str());
    // libssh would go on waiting for the answer.
    if (result == SSH_AGAIN && ssh_channel_is_closed(channel.get()) != 0 && ssh_get_fd(session) >= 0)
      throw Error("start a command in the guest: its SSH server has closed the channel instead of answering");
    return result;
  };
  const auto started = driver.complete(request, SSH_AGAIN, deadline);
  if (started != SSH_OK)
    throw Error("start a command in the guest: " + (started ? problem_of(session) : "no answer in time"));
}

}  // namespace sarde
