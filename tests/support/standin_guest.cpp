// standin-guest FOLDER NAME [SOCKET FILE...], with a listening socket as its standard input: what runs in the
// stand-in hypervisor's place of a QEMU with a guest in it (standin_hypervisor.cpp). Its SSH server is
// OpenSSH's, one process a connection. Before it answers, it reads all of each file of the NBD server at
// SOCKET, if one is given, and notes a violation if that is none of the good ones; FOLDER/running/.NAME.disks
// says before that whether it could open them. SIGUSR1: it says good-bye to that server.
#include <array>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fstream>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "core/foundation/digest.hpp"

namespace {

std::array<int, 16> connections{};
volatile std::sig_atomic_t connected = 0;

void say_good_bye(int) {
  const std::array<unsigned char, 28> disconnect{0x25, 0x60, 0x95, 0x13, 0, 0, 0, 2};
  for (int i = 0; i < connected; ++i)
    static_cast<void>(
        !::write(connections.at(static_cast<std::size_t>(i)), disconnect.data(), disconnect.size()));
}

bool read_all(int fd, void* into, std::size_t size) {
  for (auto* at = static_cast<char*>(into); size > 0;) {
    const auto got = ::recv(fd, at, size, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    at += got;
    size -= static_cast<std::size_t>(got);
  }
  return true;
}

/// Big-endian.
std::string number(std::uint64_t value, int bytes) {
  std::string text;
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) text += static_cast<char>(value >> shift);
  return text;
}

bool send_all(int fd, const std::string& text) {
  return ::send(fd, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
}

/// A disk that is read from the server at SOCKET.
struct Export {
  std::string socket;
  std::string name;
  int fd = -1;
  std::uint64_t size = 0;

  bool open() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, socket.c_str(), sizeof address.sun_path - 1);
    fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    std::array<char, 18> hello{};
    std::array<unsigned char, 10> about{};
    constexpr int export_name = 1;
    const auto ask = number(3, 4) + "IHAVEOPT" + number(export_name, 4) + number(name.size(), 4) + name;
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        !read_all(fd, hello.data(), hello.size()) || !send_all(fd, ask) ||
        !read_all(fd, about.data(), about.size())) {
      close();
      return false;
    }
    size = 0;
    for (std::size_t i = 0; i < 8; ++i) size = size << 8U | about[i];
    return true;
  }

  void close() {
    ::close(fd);
    fd = -1;
  }

  /// False if the connection has ended.
  bool read(std::uint64_t at, std::vector<char>& data) const {
    std::array<char, 16> answer{};
    if (!send_all(fd, number(0x25609513, 4) + number(0, 4) + number(at, 8) + number(at, 8) +
                          number(data.size(), 4)) ||
        !read_all(fd, answer.data(), answer.size()))
      return false;
    if (answer[7] != 0) ::_exit(5);  // an I/O error
    return read_all(fd, data.data(), data.size());
  }

  /// What a guest would find on its disk; ends if that cannot be read. As QEMU does, it connects again.
  std::string digest() {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    sarde::Sha256 hash;
    std::vector<char> data;
    for (std::uint64_t at = 0; at < size;) {
      constexpr std::uint64_t most = 1U << 20U;
      data.resize(std::min(most, size - at));
      if (fd >= 0 && read(at, data)) {
        hash.update(data.data(), data.size());
        at += data.size();
        continue;
      }
      if (fd >= 0) close();
      if (std::chrono::steady_clock::now() > deadline) ::_exit(5);
      if (!open()) std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return hash.finish().hex();
  }
};

/// QEMU opens all disks before libvirt says that the VM has been started. Ends if one cannot be had.
std::vector<Export> opened_exports(const std::string& folder, const std::string& vm, int argc, char** argv) {
  std::vector<Export> exports;
  bool all_open = true;
  for (int i = 4; i < argc && all_open; ++i) {
    exports.push_back({.socket = argv[3], .name = vm + "/" + argv[i]});
    all_open = exports.back().open();
  }
  const auto mark = folder + "/running/." + vm + ".disks";
  std::ofstream(mark + "+") << (all_open ? "open" : "refused");
  std::rename((mark + "+").c_str(), mark.c_str());
  if (!all_open) ::_exit(6);
  return exports;
}

void read_disk(const std::string& folder, Export& disk) {
  const auto digest = disk.digest();
  connections.at(static_cast<std::size_t>(connected)) = disk.fd;
  connected = connected + 1;
  std::ifstream good(folder + "/good-digests");
  for (std::string line; good >> line;)
    if (line == digest) return;
  if (good.eof() && std::ifstream(folder + "/good-digests").good())
    std::ofstream(folder + "/violations", std::ios::app)
        << disk.name << ", as it was served, holds " << digest << ", which is no image's\n";
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  const std::string folder = argv[1];
  ::signal(SIGUSR1, say_good_bye);
  if (argc > 4)
    for (auto& disk : opened_exports(folder, argv[2], argc, argv)) read_disk(folder, disk);
  const auto config = folder + "/sshd_config";
  const auto log = folder + "/sshd.log";
  long boot = 0;
  std::ifstream(folder + "/boot-ms") >> boot;
  std::this_thread::sleep_for(std::chrono::milliseconds(boot));

  // accept() is to end at a child's death, which is then taken note of.
  struct sigaction action {};

  action.sa_handler = [](int) {};
  ::sigaction(SIGCHLD, &action, nullptr);
  for (;;) {
    const int connection = ::accept(STDIN_FILENO, nullptr, nullptr);
    while (::waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    if (connection < 0) continue;
    if (::fork() == 0) {
      ::signal(SIGCHLD, SIG_DFL);
      ::dup2(connection, STDIN_FILENO);
      ::dup2(connection, STDOUT_FILENO);
      ::close(connection);
      ::execl("/usr/sbin/sshd", "/usr/sbin/sshd", "-i", "-f", config.c_str(), "-E", log.c_str(), nullptr);
      ::_exit(127);
    }
    ::close(connection);
  }
}
