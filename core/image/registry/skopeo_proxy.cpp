#include "core/image/registry/skopeo_proxy.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "core/foundation/error.hpp"
#include "core/foundation/json_reading.hpp"
#include "core/foundation/text.hpp"
#include "core/system/fd_passing.hpp"
#include "core/system/files.hpp"
#include "core/system/new_process.hpp"

namespace sarde {

using nlohmann::json;
using std::chrono::milliseconds;

bool wait_to_read(int first, int second, milliseconds at_most, const ProxyWaits& waits) {
  constexpr milliseconds heartbeat_every(100);
  const auto start = waits.clock.now();
  for (;;) {
    waits.cancellation.check();
    if (waits.heartbeat) waits.heartbeat();
    const auto now = waits.clock.now();
    const auto left = at_most - milliseconds_between(start, now);
    const auto pause = std::clamp(left, milliseconds(0), heartbeat_every);
    std::array<pollfd, 3> waiting{pollfd{first, POLLIN, 0}, pollfd{second, POLLIN, 0},
                                  pollfd{waits.cancellation.fd(), POLLIN, 0}};
    if (::poll(waiting.data(), waiting.size(), static_cast<int>(pause.count())) > 0 &&
        (waiting[0].revents != 0 || waiting[1].revents != 0))
      return true;
    // Only waiting counts: unpacking what has come may take its time.
    if (now >= waits.deadline)
      throw Error(waits.doing + ": the registry did not send all of it in time (fetch-timeout)");
    if (left <= milliseconds(0)) return false;
  }
}

SkopeoProxy::SkopeoProxy(const std::vector<std::string>& arguments,
                         const std::vector<std::pair<std::string, std::string>>& environment)
    : errors_(::memfd_create("skopeo-errors", MFD_CLOEXEC)) {
  std::array<int, 2> ends{};
  if (!errors_ || ::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0)
    throw Error("start skopeo: " + errno_text(errno));
  socket_.reset(ends[0]);
  const UniqueFd theirs(ends[1]);
  pid_ =
      start_process(arguments, environment, {.in = theirs.get(), .out = errors_.get(), .err = errors_.get()});
}

SkopeoProxy::~SkopeoProxy() {
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

void SkopeoProxy::ask(const std::string& request) {
  static_cast<void>(send_packet(socket_.get(), request));  // where it has ended, the answer says so
}

void SkopeoProxy::ask_to_initialize() {
  ask(json{{"method", "Initialize"}, {"args", json::array()}}.dump());
}

void SkopeoProxy::ask_to_open(const std::string& image) {
  ask(json{{"method", "OpenImage"}, {"args", {image}}}.dump());
}

void SkopeoProxy::ask_for_manifest(std::uint64_t image) {
  ask(json{{"method", "GetManifest"}, {"args", {image}}}.dump());
}

void SkopeoProxy::ask_for_blob(std::uint64_t image, const std::string& digest, std::uint64_t size) {
  ask(json{{"method", "GetBlob"}, {"args", {image, digest, size}}}.dump());
}

void SkopeoProxy::ask_to_finish(unsigned pipe_number) {
  ask(json{{"method", "FinishPipe"}, {"args", {pipe_number}}}.dump());
}

SkopeoProxy::Answer SkopeoProxy::answer(const ProxyWaits& waits) {
  constexpr milliseconds a_while(60'000);
  while (!wait_to_read(socket_.get(), -1, a_while, waits)) {
  }
  auto packet = receive_packet(socket_.get());
  if (!packet) return {.failure = last_words(), .has_ended = true};
  return read_json(packet->text, "skopeo's answer", Blame::host, [&](const json& value) {
    Answer answer{.failure = {}};
    if (!value.at("success").get<bool>()) {
      answer.failure = value.at("error").get<std::string>();
      if (answer.failure.empty()) answer.failure = "it failed without a word";
    }
    if (const auto& result = value.at("value"); result.is_string()) {
      answer.text = result.get<std::string>();
    } else if (result.is_number_unsigned()) {
      answer.number = result.get<std::uint64_t>();
    }
    answer.pipe_number = value.at("pipeid").get<unsigned>();
    if (!packet->files.empty()) answer.pipe = std::move(packet->files.front());
    return answer;
  });
}

std::string SkopeoProxy::last_words() {
  constexpr std::size_t enough = 64U << 10U;
  std::string text(enough, '\0');
  const auto end = ::lseek(errors_.get(), 0, SEEK_END);
  const auto from = std::max<off_t>(0, end - static_cast<off_t>(enough));
  const auto got = ::pread(errors_.get(), text.data(), text.size(), from);
  text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return text.empty() ? "skopeo has ended" : text;
}

}  // namespace sarde
