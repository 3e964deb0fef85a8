#include "executor/job/kept_door.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>
#include <utility>

#include "core/foundation/json_reading.hpp"
#include "core/guest/ssh_guest_shell.hpp"
#include "core/system/companion.hpp"
#include "core/system/fd_passing.hpp"
#include "core/system/files.hpp"
#include "core/system/unix_address.hpp"

namespace sarde {

using nlohmann::json;
using std::chrono::milliseconds;

namespace {

constexpr auto is_ready = "ready";
constexpr auto has_begun = "begun";
constexpr auto stop = "stop";

std::filesystem::path socket_of(const JobFolder& folder) {
  return folder.path() / "door.sock";
}

std::filesystem::path process_of(const JobFolder& folder) {
  return folder.path() / "door.process";
}

UniqueFd new_socket() {
  return UniqueFd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
}

json as_json(RemainingProcesses remaining) {
  constexpr std::size_t most = 100;  // a packet has its limits
  for (auto* list : {&remaining.of_script, &remaining.others}) list->resize(std::min(list->size(), most));
  return {{"of_script", remaining.of_script}, {"others", remaining.others}, {"problem", remaining.problem}};
}

/// A guest's words may be no UTF-8.
std::string text_of(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

json as_json(const ScriptOutcome& outcome) {
  if (const auto* exited = std::get_if<ScriptExited>(&outcome)) return {{"exited", exited->code}};
  if (const auto* killed = std::get_if<ScriptKilled>(&outcome)) return {{"killed", killed->signal}};
  if (const auto* stopped = std::get_if<ScriptStopped>(&outcome))
    return {{"stopped", as_json(stopped->remaining)}};
  return {{"timed_out", true}};
}

/// Throws the error that the answer may be.
ScriptOutcome outcome_in(const json& answer) {
  if (answer.contains("exited")) return ScriptExited{answer.at("exited").get<std::int32_t>()};
  if (answer.contains("killed")) return ScriptKilled{answer.at("killed").get<std::string>()};
  if (answer.contains("timed_out")) return ScriptTimedOut{};
  if (answer.contains("stopped")) {
    const auto& remaining = answer.at("stopped");
    return ScriptStopped{{.of_script = remaining.at("of_script").get<std::vector<std::string>>(),
                          .others = remaining.at("others").get<std::vector<std::string>>(),
                          .problem = remaining.at("problem").get<std::string>()}};
  }
  const auto why = answer.at("error").get<std::string>();
  if (answer.value("not_begun", false)) throw ScriptNotBegun(why);
  throw Error(answer.value("of_job", false) ? Blame::job : Blame::host, why);
}

/// The script's text as an open file.
UniqueFd file_with(const std::string& content) {
  UniqueFd file(::memfd_create("script", MFD_CLOEXEC));
  if (!file) throw ScriptNotBegun("hand on a script: " + errno_text(errno));
  try {
    write_full(file.get(), content.data(), content.size(), "the script");
  } catch (const Error& error) {
    throw ScriptNotBegun(error.what());
  }
  return file;
}

/// Runs scripts over the companion's connection.
class KeptGuestShell final : public GuestShell {
 public:
  KeptGuestShell(UniqueFd socket, std::string host_key, std::function<bool()> vm_is_gone)
      : socket_(std::move(socket)), host_key_(std::move(host_key)), vm_is_gone_(std::move(vm_is_gone)) {}

  ScriptOutcome run_script(const GuestScript& script, Cancellation& cancellation) override {
    cancellation.check();
    const auto content = file_with(script.content);
    const json request{
        {"shell", script.shell},
        {"timezone", script.environment.timezone},
        {"folder", script.environment.folder},
        {"deadline", script.deadline ? json(script.deadline->time_since_epoch().count()) : json()}};
    if (!send_packet(socket_.get(), text_of(request), {content.get(), script.output, script.errors}))
      throw ScriptNotBegun("the process that keeps the connection has ended");
    return wait_for_outcome(script, cancellation);
  }

  bool rest(milliseconds, int) override { return true; }

  [[nodiscard]] std::string host_key() const override { return host_key_; }

 private:
  /// If this ends otherwise than by an answer, the socket is closed, and the companion stops the script.
  ScriptOutcome wait_for_outcome(const GuestScript& script, Cancellation& cancellation) {
    constexpr milliseconds watch_every(1'000);
    constexpr milliseconds first_look(700);
    constexpr int longest_stop = 20;  // seconds
    int stopping = 0;
    bool begun = false;
    while (stopping <= longest_stop) {
      const bool is_stopping = stopping > 0;
      std::array<pollfd, 2> polled{
          {{.fd = socket_.get(), .events = POLLIN, .revents = 0},
           {.fd = is_stopping ? -1 : cancellation.fd(), .events = POLLIN, .revents = 0}}};
      const auto found =
          ::poll(polled.data(), polled.size(), static_cast<int>((begun ? watch_every : first_look).count()));
      // On a bridge, nobody closes the connection of a VM that is gone.
      if (found == 0 && !begun && vm_is_gone_()) throw ScriptNotBegun("the VM is gone");
      if (polled[0].revents != 0) {
        const auto answer = receive_packet(socket_.get());
        if (!answer && !begun)
          throw ScriptNotBegun("the process that keeps the connection to the VM has ended");
        if (!answer)
          throw Error(
              "the connection to the VM was lost while the script ran: the process that kept it has ended");
        begun = true;
        if (answer->text == has_begun) continue;
        // Not within read_json(), which would make another error of ScriptNotBegun.
        return outcome_in(
            read_json(answer->text, "an answer", Blame::host, [](const json& value) { return value; }));
      }
      if (cancellation.requested() != 0 && stopping++ == 0) send_packet(socket_.get(), stop);
      if (script.watch && !is_stopping) script.watch();
    }
    return ScriptStopped{{.problem = "the process that keeps the connection does not answer"}};
  }

  UniqueFd socket_;
  std::string host_key_;
  std::function<bool()> vm_is_gone_;
};

/// Answers one stage: tells it that it may send a script, and runs that.
class Visit {
 public:
  Visit(UniqueFd client, GuestShell& shell) : client_(std::move(client)), shell_(shell) {}

  /// Returns false if the companion has to end.
  bool serve() {
    if (!send_packet(client_.get(), is_ready)) return true;
    const auto request = receive_packet(client_.get());
    constexpr std::size_t files = 3;
    if (!request || request->files.size() != files) return true;
    // A stage asks for a stop by a packet, or by ending; here, a signal says so, as it does in a stage.
    auto stopped = Cancellation::on_signals();
    json answer;
    bool goes_on = true;
    try {
      auto script = script_in(*request);
      // Called for the first time when the guest is about to get the script.
      script.watch = [this, told = false]() mutable {
        if (!std::exchange(told, true)) send_packet(client_.get(), has_begun);
      };
      const StopListener listener(client_.get());
      answer = as_json(shell_.run_script(script, stopped));
    } catch (const Cancelled&) {
      answer = as_json(ScriptStopped{{.problem = "the script had not begun"}});
      goes_on = false;
    } catch (const ScriptNotBegun& error) {
      answer = {{"error", error.what()}, {"not_begun", true}};
      goes_on = false;
    } catch (const Error& error) {
      answer = {{"error", error.what()}, {"of_job", error.blame() == Blame::job}};
      goes_on = false;
    }
    const int signal = stopped.requested();
    send_packet(client_.get(), text_of(answer));
    // A socket that is closed with something unread takes away what the other side has not read (unix(7)):
    // its "stop" is read, and its end waited for.
    while (receive_packet(client_.get())) {
    }
    return goes_on && signal != SIGTERM;
  }

 private:
  /// While there is one, this process gets SIGINT as soon as the other side sends something, or ends.
  class StopListener {
   public:
    explicit StopListener(int client)
        : end_(::eventfd(0, EFD_CLOEXEC)), thread_([this, client] {
            std::array<pollfd, 2> polled{{{.fd = client, .events = POLLIN, .revents = 0},
                                          {.fd = end_.get(), .events = POLLIN, .revents = 0}}};
            while (::poll(polled.data(), polled.size(), -1) < 0 && errno == EINTR) {
            }
            if (polled[1].revents == 0 && polled[0].revents != 0) ::kill(::getpid(), SIGINT);
          }) {}

    StopListener(const StopListener&) = delete;
    StopListener& operator=(const StopListener&) = delete;

    ~StopListener() { ::eventfd_write(end_.get(), 1); }

   private:
    UniqueFd end_;
    std::jthread thread_;  // ends before what it looks at
  };

  GuestScript script_in(const Packet& request) {
    try {
      return parsed(request);
    } catch (const Error& error) {
      throw ScriptNotBegun(error.what());
    }
  }

  static GuestScript parsed(const Packet& request) {
    const auto& content = request.files[0];

    struct stat status {};

    if (::fstat(content.get(), &status) != 0) throw Error("read a script: " + errno_text(errno));
    GuestScript script{.content = std::string(static_cast<std::size_t>(status.st_size), '\0'),
                       .output = request.files[1].get(),
                       .errors = request.files[2].get()};
    ::lseek(content.get(), 0, SEEK_SET);
    read_full(content.get(), script.content.data(), script.content.size(), "a script");
    read_json(request.text, "a request", Blame::host, [&](const json& value) {
      script.shell = value.at("shell").get<std::string>();
      script.environment = {.timezone = value.at("timezone").get<std::string>(),
                            .folder = value.at("folder").get<std::string>()};
      if (value.at("deadline").is_number())
        script.deadline = TimePoint(TimePoint::duration(value.at("deadline").get<TimePoint::rep>()));
      return 0;
    });
    return script;
  }

  UniqueFd client_;
  GuestShell& shell_;
};

std::unique_ptr<GuestShell> log_in(const JobFolder& folder, Clock& clock, Cancellation& cancellation) {
  const auto record = folder.read();
  if (!record) return nullptr;
  constexpr int tries = 3;
  for (int i = 0; i < tries; ++i) {
    auto result = connect_ssh(target_of(*record), {}, clock, cancellation);
    if (auto* shell = std::get_if<std::unique_ptr<GuestShell>>(&result)) return std::move(*shell);
    clock.sleep(milliseconds(500), cancellation);
  }
  return nullptr;
}

/// One descriptor that is readable when one of these is.
UniqueFd any_of(std::initializer_list<int> fds) {
  UniqueFd any(::epoll_create1(EPOLL_CLOEXEC));
  for (const int fd : fds) {
    epoll_event event{};
    event.events = EPOLLIN;
    ::epoll_ctl(any.get(), EPOLL_CTL_ADD, fd, &event);
  }
  return any;
}

}  // namespace

SshTarget target_of(const JobRecord& record) {
  return {.address = record.address,
          .port = record.port,
          .username = record.username,
          .password = record.password,
          .identity_file = record.identity_file,
          .use_agent = record.use_agent,
          .known_host_key = record.host_key,
          .algorithms = record.legacy_ssh ? SshAlgorithms::legacy : SshAlgorithms::modern};
}

void start_door_keeper(const JobFolder& folder,
                       const std::vector<std::pair<std::string, std::string>>& environment) {
  const auto path = socket_of(folder);
  const auto address = unix_address(path);
  if (!address) throw Error("the path of its socket is too long: " + path.string());
  const auto socket = new_socket();
  constexpr int waiting = 4;
  if (!socket || ::bind(socket.get(), generic(*address), sizeof *address) != 0 ||
      ::chmod(path.c_str(), 0600) != 0 || ::listen(socket.get(), waiting) != 0)
    fail_by_errno("listen on", path);
  start_self(door_keeper_name, folder.path().string(), {socket.get()}, environment, process_of(folder));
}

void stop_door_keeper(const JobFolder& folder) {
  end_companion(process_of(folder));
}

int keep_door(const std::string& argument) {
  try {
    constexpr int inherited = 3;
    const UniqueFd door(inherited);
    const JobFolder folder(argument);
    const UniqueFd place(::open(argument.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    const auto is_removed = [&] {
      struct stat status {};

      return ::fstat(place.get(), &status) != 0 || status.st_nlink == 0;
    };
    SystemClock clock;
    auto cancellation = Cancellation::on_signals();
    const auto shell = log_in(folder, clock, cancellation);
    if (!shell) return 1;
    const auto wakes = any_of({door.get(), cancellation.fd()});
    constexpr milliseconds long_time(60'000);
    while (shell->rest(long_time, wakes.get()) && !is_removed()) {
      if (cancellation.requested() != 0) return 0;
      pollfd polled{.fd = door.get(), .events = POLLIN, .revents = 0};
      if (::poll(&polled, 1, 0) <= 0) continue;
      UniqueFd client(::accept4(door.get(), nullptr, nullptr, SOCK_CLOEXEC));
      const timeval patience{.tv_sec = 5, .tv_usec = 0};
      ::setsockopt(client.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
      if (!Visit(std::move(client), *shell).serve()) return 0;
    }
    return 0;
  } catch (const std::exception&) {
    return 1;  // nobody listens; the next stage connects to the guest itself
  }
}

std::unique_ptr<GuestShell> open_kept_door(const JobFolder& folder, const std::function<bool()>& vm_is_gone,
                                           Cancellation& cancellation) {
  const auto address = unix_address(socket_of(folder));
  auto socket = new_socket();
  const auto record = folder.read();
  if (!address || !socket || !record) return nullptr;
  // Others may be in its queue, if it hangs.
  const timeval patience{.tv_sec = 2, .tv_usec = 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (::connect(socket.get(), generic(*address), sizeof *address) != 0) return nullptr;
  // The companion may still be logging in.
  constexpr int long_enough = 10'000;
  std::array<pollfd, 2> polled{{{.fd = socket.get(), .events = POLLIN, .revents = 0},
                                {.fd = cancellation.fd(), .events = POLLIN, .revents = 0}}};
  const int found = ::poll(polled.data(), polled.size(), long_enough);
  cancellation.check();
  if (found <= 0 || polled[0].revents == 0) return nullptr;
  const auto answer = receive_packet(socket.get());
  if (!answer || answer->text != is_ready) return nullptr;
  return std::make_unique<KeptGuestShell>(std::move(socket), record->host_key, vm_is_gone);
}

}  // namespace sarde
