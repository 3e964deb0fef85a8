#include "executor/job/guest_answer.hpp"

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <thread>
#include <unistd.h>

#include "core/foundation/error.hpp"
#include "core/foundation/unique_fd.hpp"
#include "core/system/files.hpp"
#include "core/system/new_process.hpp"

namespace sarde {

namespace {

/// What comes out of a pipe until its last writer closes it, as long as it is not too much. A guest that
/// never stops is read to the script's deadline, but not kept.
GuestAnswer read_answer(int pipe, std::size_t longest) {
  GuestAnswer answer;
  std::array<char, 4096> block{};
  for (;;) {
    const auto got = ::read(pipe, block.data(), block.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return answer;
    answer.arrived = std::chrono::system_clock::now();
    if (answer.text.size() <= longest) answer.text.append(block.data(), static_cast<std::size_t>(got));
  }
}

}  // namespace

GuestAnswer ask_guest(GuestShell& guest, GuestScript script, Cancellation& cancellation) {
  constexpr std::size_t longest = 64U << 10U;
  Pipe pipe;
  const UniqueFd nowhere(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  if (!nowhere) throw Error("ask the guest: " + errno_text(errno));
  script.output = pipe.write_end.get();
  script.errors = nowhere.get();
  GuestAnswer answer;
  const auto outcome = [&] {
    const std::jthread reader([&] { answer = read_answer(pipe.read_end.get(), longest); });
    // The reader ends when this is closed, before it is waited for, whatever happens.
    const auto writer = std::move(pipe.write_end);
    return guest.run_script(script, cancellation);
  }();
  if (std::holds_alternative<ScriptStopped>(outcome)) cancellation.check();
  if (std::holds_alternative<ScriptTimedOut>(outcome)) return {};
  if (answer.text.size() > longest) throw Error("ask the guest: it says more than 64 KiB");
  return answer;
}

}  // namespace sarde
