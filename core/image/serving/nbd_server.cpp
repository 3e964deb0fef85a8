#include "core/image/serving/nbd_server.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <system_error>
#include <unistd.h>

#include "core/foundation/bytes.hpp"
#include "core/foundation/error.hpp"
#include "core/image/serving/nbd_format.hpp"

namespace sarde {

namespace {

/// The client has gone, or talks nonsense.
class ClientLost : public Error {
 public:
  ClientLost() : Error("the client is gone") {}
};

template <typename Number>
void append(Bytes& bytes, Number number) {
  for (int shift = 8 * (static_cast<int>(sizeof number) - 1); shift >= 0; shift -= 8)
    bytes.push_back(static_cast<unsigned char>(number >> shift));
}

template <typename Number>
Number number_in(const unsigned char*& at) {
  Number number = 0;
  for (std::size_t i = 0; i < sizeof number; ++i) number = static_cast<Number>(number << 8U) | *at++;
  return number;
}

void read_all(int socket, unsigned char* into, std::size_t size) {
  while (size > 0) {
    const auto got = ::recv(socket, into, size, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) throw ClientLost();
    into += got;
    size -= static_cast<std::size_t>(got);
  }
}

void send_all(int socket, const Bytes& bytes, int flags = 0) {
  std::size_t sent = 0;
  while (sent < bytes.size()) {
    const auto got = ::send(socket, bytes.data() + sent, bytes.size() - sent, flags | MSG_NOSIGNAL);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) throw ClientLost();
    sent += static_cast<std::size_t>(got);
  }
}

void reply_to_option(int socket, std::uint32_t option, std::uint32_t type, const Bytes& data = {}) {
  Bytes reply;
  append(reply, nbd::option_reply_magic);
  append(reply, option);
  append(reply, type);
  append(reply, static_cast<std::uint32_t>(data.size()));
  reply.insert(reply.end(), data.begin(), data.end());
  send_all(socket, reply);
}

constexpr std::uint16_t what_clients_get = nbd::transmission_flag::has_flags |
                                           nbd::transmission_flag::read_only |
                                           nbd::transmission_flag::multi_conn;

}  // namespace

/// A request whose answer has not been sent.
struct NbdServer::Reading {
  std::uint64_t handle = 0;
  std::uint64_t at = 0;
  std::uint32_t length = 0;
  std::vector<LayerPlace> layers = {};
};

NbdServer::NbdServer(const PartialImage& image, LayerQueue& queue, UniqueFd listening,
                     std::function<bool(const std::string& vm)> opened)
    : image_(image),
      queue_(queue),
      opened_(std::move(opened)),
      listening_(std::move(listening)),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  queue_.changed = [this] {
    const std::scoped_lock lock(mutex_);
    for (const auto& connection : connections_) ::eventfd_write(connection.wake.get(), 1);
  };
  acceptor_ = std::jthread([this](std::stop_token stop) { accept_clients(std::move(stop)); });
}

NbdServer::~NbdServer() {
  queue_.changed = [] {};
  acceptor_.request_stop();
  ::eventfd_write(wake_.get(), 1);
  acceptor_.join();
  for (auto& connection : connections_) ::shutdown(connection.socket.get(), SHUT_RDWR);
  for (auto& connection : connections_) connection.thread.join();
}

std::vector<std::string> NbdServer::vms() const {
  const std::scoped_lock lock(mutex_);
  std::set<std::string> names;
  for (const auto& connection : connections_)
    if (!connection.has_ended && !connection.vm.empty()) names.insert(connection.vm);
  return {names.begin(), names.end()};
}

std::vector<std::string> NbdServer::take_lost() {
  const std::scoped_lock lock(mutex_);
  const auto lost = std::exchange(lost_, {});
  return {lost.begin(), lost.end()};
}

std::size_t NbdServer::connections() const {
  const std::scoped_lock lock(mutex_);
  return static_cast<std::size_t>(
      std::ranges::count_if(connections_, [](const Connection& one) { return !one.has_ended; }));
}

void NbdServer::close_idle() {
  const std::scoped_lock lock(mutex_);
  for (const auto& connection : connections_)
    if (connection.vm.empty()) ::shutdown(connection.socket.get(), SHUT_RDWR);
}

bool NbdServer::close_if_unused() {
  const std::scoped_lock lock(mutex_);
  const bool is_used =
      std::ranges::any_of(connections_, [](const Connection& one) { return !one.has_ended; });
  pollfd waiting{.fd = listening_.get(), .events = POLLIN, .revents = 0};
  if (is_used || !lost_.empty() || ::poll(&waiting, 1, 0) > 0) return false;
  // Who has come to its queue just now was not greeted, and finds that out.
  listening_.reset();
  return true;
}

void NbdServer::accept_clients(std::stop_token stop) {
  while (!stop.stop_requested()) {
    std::array<pollfd, 2> polled{
        {{.fd = wake_.get(), .events = POLLIN, .revents = 0}, {.fd = -1, .events = POLLIN, .revents = 0}}};
    {
      const std::scoped_lock lock(mutex_);
      remove_ended();
      if (!listening_) return;
      polled[1].fd = listening_.get();
    }
    constexpr int now_and_then = 500;
    ::poll(polled.data(), polled.size(), now_and_then);
    constexpr std::chrono::milliseconds pause(100);
    if ((polled[1].revents & POLLIN) != 0 && !accept_one()) std::this_thread::sleep_for(pause);
  }
}

/// False if there is no room for another client now.
bool NbdServer::accept_one() {
  constexpr std::size_t most = 256;
  const std::scoped_lock lock(mutex_);
  if (!listening_) return true;
  if (connections_.size() >= most) return false;
  UniqueFd client(::accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  UniqueFd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!client || !wake) return false;
  // Whoever does not read what he asked for is not waited for.
  const timeval patience{.tv_sec = 60, .tv_usec = 0};
  ::setsockopt(client.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  auto& connection = connections_.emplace_back();
  connection.socket = std::move(client);
  connection.wake = std::move(wake);
  try {
    connection.thread = std::jthread([this, &connection] { serve(connection); });
  } catch (const std::system_error&) {
    connections_.pop_back();
    return false;
  }
  return true;
}

void NbdServer::remove_ended() {
  connections_.remove_if([](const Connection& one) { return one.has_ended.load(); });
}

void NbdServer::serve(Connection& connection) {
  bool has_left = false;
  try {
    std::size_t disk = 0;
    if (shake_hands(connection, disk)) has_left = transmit(connection, disk);
  } catch (const std::exception&) {
    // The client finds the connection closed.
  }
  ::shutdown(connection.socket.get(), SHUT_RDWR);
  const std::scoped_lock lock(mutex_);
  if (!has_left && !connection.vm.empty()) lost_.insert(connection.vm);
  connection.has_ended = true;
}

std::optional<std::size_t> NbdServer::disk_called(const std::string& file) const {
  const auto found = std::ranges::find(image_.disks(), file, &LayerGrid::name);
  if (found == image_.disks().end()) return std::nullopt;
  return static_cast<std::size_t>(found - image_.disks().begin());
}

bool NbdServer::shake_hands(Connection& connection, std::size_t& disk) {
  const int socket = connection.socket.get();
  Bytes hello;
  append(hello, nbd::greeting);
  append(hello, nbd::option_magic);
  append(hello,
         static_cast<std::uint16_t>(nbd::handshake_flag::fixed_newstyle | nbd::handshake_flag::no_zeroes));
  send_all(socket, hello);
  std::array<unsigned char, 16> head{};
  read_all(socket, head.data(), sizeof(std::uint32_t));  // the client's flags ask for nothing that matters
  // Who only wants the server to stay does not begin; who begins goes on.
  const timeval patience{.tv_sec = 60, .tv_usec = 0};
  ::setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  for (bool is_open = false; !is_open;) {
    read_all(socket, head.data(), head.size());
    const auto* at = head.data();
    if (number_in<std::uint64_t>(at) != nbd::option_magic) return false;
    const auto option = number_in<std::uint32_t>(at);
    const auto length = number_in<std::uint32_t>(at);
    if (length > nbd::longest_option) return false;
    std::string data(length, '\0');
    read_all(socket, reinterpret_cast<unsigned char*>(data.data()), data.size());
    if (!answer_option(connection, option, data, disk, is_open)) return false;
  }
  return true;
}

/// False if the connection ends.
bool NbdServer::answer_option(Connection& connection, std::uint32_t option, const std::string& data,
                              std::size_t& disk, bool& is_open) {
  const int socket = connection.socket.get();
  const bool is_go = option == nbd::option::go || option == nbd::option::info;
  if (!is_go && option != nbd::option::export_name) {
    reply_to_option(socket, option,
                    option == nbd::option::abort ? nbd::option_reply::ack : nbd::option_reply::unsupported);
    return option != nbd::option::abort;
  }
  auto name = data;
  if (is_go) {
    if (data.size() < sizeof(std::uint32_t)) return false;
    const auto* at = reinterpret_cast<const unsigned char*>(data.data());
    const auto length = number_in<std::uint32_t>(at);
    if (length > data.size() - sizeof length) return false;
    name = data.substr(sizeof length, length);
  }
  const auto slash = name.find('/');
  const auto found = slash == std::string::npos ? std::nullopt : disk_called(name.substr(slash + 1));
  if (!found || !opened_(name.substr(0, slash))) {
    if (is_go) reply_to_option(socket, option, nbd::option_reply::unknown);
    return is_go;
  }
  Bytes about;
  if (is_go) append(about, nbd::info_export);
  append(about, image_.disks()[*found].size);
  append(about, what_clients_get);
  if (option != nbd::option::info) {
    disk = *found;
    is_open = true;
    const std::scoped_lock lock(mutex_);
    connection.vm = name.substr(0, slash);
    lost_.erase(connection.vm);
  }
  if (!is_go) {
    send_all(socket, about);  // (every client of today wants no zeros behind it)
    return true;
  }
  reply_to_option(socket, option, nbd::option_reply::info, about);
  reply_to_option(socket, option, nbd::option_reply::ack);
  return true;
}

/// True if the client has said good-bye.
bool NbdServer::transmit(Connection& connection, std::size_t disk) {
  std::vector<Reading> waiting;
  for (;;) {
    std::array<pollfd, 2> polled{{{.fd = connection.socket.get(), .events = POLLIN, .revents = 0},
                                  {.fd = connection.wake.get(), .events = POLLIN, .revents = 0}}};
    if (::poll(polled.data(), polled.size(), -1) < 0 && errno != EINTR) return false;
    if (polled[1].revents != 0) {
      eventfd_t count = 0;
      ::eventfd_read(connection.wake.get(), &count);
    }
    if (polled[0].revents != 0 && !take_request(connection, disk, waiting)) return true;
    answer(connection, disk, waiting);
  }
}

/// False if the client says good-bye.
bool NbdServer::take_request(Connection& connection, std::size_t disk, std::vector<Reading>& waiting) {
  std::array<unsigned char, 28> head{};
  read_all(connection.socket.get(), head.data(), head.size());
  const auto* at = head.data();
  if (number_in<std::uint32_t>(at) != nbd::request_magic) throw ClientLost();
  number_in<std::uint16_t>(at);  // flags: none matters to a reader
  const auto type = number_in<std::uint16_t>(at);
  Reading reading{.handle = number_in<std::uint64_t>(at)};
  reading.at = number_in<std::uint64_t>(at);
  reading.length = number_in<std::uint32_t>(at);
  const auto refuse = [&](std::uint32_t error) {
    Bytes reply;
    append(reply, nbd::reply_magic);
    append(reply, error);
    append(reply, reading.handle);
    send_all(connection.socket.get(), reply);
    return true;
  };
  if (type == nbd::command::flush) return refuse(0);
  if (type == nbd::command::disconnect) return false;
  if (type != nbd::command::read) throw ClientLost();  // to write, say, which it was told it cannot
  const auto size = image_.disks()[disk].size;
  constexpr std::size_t most_at_once = 1024;
  if (reading.length > nbd::longest_read || reading.at > size || reading.length > size - reading.at)
    return refuse(nbd::error::invalid);
  if (waiting.size() == most_at_once) throw ClientLost();
  reading.layers = image_.layers_with(disk, reading.at, reading.length);
  waiting.push_back(std::move(reading));
  return true;
}

/// Answers what can be answered now.
void NbdServer::answer(Connection& connection, std::size_t disk, std::vector<Reading>& waiting) {
  std::vector<Reading> still;
  for (auto& reading : waiting) {
    const auto presence = queue_.ask_for(reading.layers);
    if (presence == LayerQueue::Presence::missing) {
      still.push_back(std::move(reading));
      continue;
    }
    Bytes reply;
    append(reply, nbd::reply_magic);
    append(reply, presence == LayerQueue::Presence::there ? 0 : nbd::error::input_output);
    append(reply, reading.handle);
    const bool has_data = presence == LayerQueue::Presence::there;
    send_all(connection.socket.get(), reply, has_data ? MSG_MORE : 0);
    if (has_data) send_data(connection, disk, reading);
  }
  waiting = std::move(still);
}

void NbdServer::send_data(Connection& connection, std::size_t disk, const Reading& reading) {
  auto at = static_cast<off_t>(reading.at);
  for (std::size_t left = reading.length; left > 0;) {
    const auto sent = ::sendfile(connection.socket.get(), image_.fd(disk), &at, left);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) throw ClientLost();  // it reconnects, and asks again
    left -= static_cast<std::size_t>(sent);
  }
}

}  // namespace sarde
