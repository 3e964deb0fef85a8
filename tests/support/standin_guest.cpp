// standin-guest FOLDER NAME, with a listening socket as its standard input: what runs in the stand-in
// hypervisor's place of a QEMU with a guest in it (standin_hypervisor.cpp). Its SSH server is OpenSSH's, one
// process a connection.
#include <chrono>
#include <csignal>
#include <fstream>
#include <string>
#include <sys/socket.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const std::string folder = argv[1];
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
