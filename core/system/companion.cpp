#include "core/system/companion.hpp"

#include <signal.h>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>

#include "core/foundation/error.hpp"
#include "core/foundation/unique_fd.hpp"
#include "core/system/files.hpp"

namespace sarde {

void note_companion(const std::filesystem::path& record, const ProcessIdentity& process) {
  write_file(record, process.text() + "\n", 0600);
}

void end_companion(const std::filesystem::path& record) {
  const auto text = read_file_if_there(record);
  const auto process = text ? ProcessIdentity::parse(*text) : std::nullopt;
  if (!process) return;
  // A handle on the process first, and then the look at who it is: what is signalled is what was looked at.
  // (glibc 2.36 declares its functions for C only.)
  const UniqueFd handle(static_cast<int>(::syscall(SYS_pidfd_open, process->pid, 0)));
  if (!handle) return;
  constexpr std::chrono::milliseconds pause(20);
  constexpr int patience = 150;
  for (int i = 0; i < patience; ++i) {
    if (life_of(*process) != ProcessLife::lives) return;
    ::syscall(SYS_pidfd_send_signal, handle.get(), i == 0 ? SIGTERM : SIGKILL, nullptr, 0);
    std::this_thread::sleep_for(pause);
  }
  throw Error("end process " + std::to_string(process->pid) + ", which " + record.string() +
              " names: it does not end");
}

}  // namespace sarde
