#include "executor/job/guest_answer.hpp"

#include <cerrno>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/foundation/error.hpp"
#include "core/foundation/unique_fd.hpp"
#include "core/system/files.hpp"

namespace sarde {

std::string ask_guest(GuestShell& guest, GuestScript script, Cancellation& cancellation) {
  constexpr std::size_t longest = 64U << 10U;
  const UniqueFd answer(::memfd_create("answer", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  const UniqueFd nowhere(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  if (!answer || !nowhere) throw Error(std::string("ask the guest: ") + errno_text(errno));
  // A guest that never stops must not fill this host's memory: writing behind the end fails.
  if (::ftruncate(answer.get(), longest) != 0 || ::fcntl(answer.get(), F_ADD_SEALS, F_SEAL_GROW) != 0)
    throw Error(std::string("ask the guest: ") + errno_text(errno));
  script.output = answer.get();
  script.errors = nowhere.get();
  const auto outcome = guest.run_script(script, cancellation);
  if (std::holds_alternative<ScriptStopped>(outcome)) cancellation.check();
  if (std::holds_alternative<ScriptTimedOut>(outcome)) return "";
  const auto end = ::lseek(answer.get(), 0, SEEK_CUR);
  std::string text(end < 0 ? 0 : static_cast<std::size_t>(end), '\0');
  const auto size = ::pread(answer.get(), text.data(), text.size(), 0);
  text.resize(size < 0 ? 0 : static_cast<std::size_t>(size));
  return text;
}

}  // namespace sarde
