#include "core/vm/libvirt/machine_state.hpp"

#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <thread>

#include "core/foundation/unique_fd.hpp"
#include "core/system/files.hpp"
#include "core/vm/libvirt/libvirt_errors.hpp"
#include "core/vm/libvirt/qemu_monitor.hpp"

namespace sarde {

using nlohmann::json;

namespace {

constexpr auto fd_name = "sarde-state";

/// Whether QEMU still has to put its own state in order after a migration that it calls over. Until then it
/// refuses to let the VM go on ("Migration is not finalized yet").
bool is_finishing(const Domain& domain, const std::string& doing) {
  return tell_qemu(domain, {{"execute", "query-status"}}, doing).value("status", "") == "finish-migrate";
}

/// Waits until a migration is over. Throws Error if it ended otherwise than well, or has not by then.
void wait_for_end(const Domain& domain, std::chrono::seconds longest, const std::string& doing) {
  constexpr std::chrono::milliseconds pause(5);
  const auto deadline = std::chrono::steady_clock::now() + longest;
  while (std::chrono::steady_clock::now() < deadline) {
    const auto now = tell_qemu(domain, {{"execute", "query-migrate"}}, doing);
    const auto status = now.value("status", "");
    const bool has_ended = status == "completed" || status == "failed" || status == "cancelled";
    if (has_ended && !is_finishing(domain, doing)) {
      if (status == "completed") return;
      throw Error(doing + ": QEMU says " + quote(now.value("error-desc", status)));
    }
    std::this_thread::sleep_for(pause);
  }
  throw Error(doing + ": QEMU was not done within " + duration_text(longest));
}

/// Otherwise QEMU would go on, and stop the VM when it is done.
void cancel_migration(const Domain& domain, const std::string& doing) {
  constexpr std::chrono::seconds enough(10);
  try {
    tell_qemu(domain, {{"execute", "migrate_cancel"}}, doing);
    wait_for_end(domain, enough, doing);
  } catch (const Error&) {
    // "cancelled" is what is hoped for; if QEMU does not answer, nothing can be done.
  }
}

}  // namespace

void save_state(const Domain& domain, const std::filesystem::path& file, const std::string& doing) {
  const UniqueFd fd(::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd) throw Error(doing + ": write " + file.string() + ": " + errno_text(errno));
  // The VM stands still, so nothing is gained by going slowly (QEMU's default is 128 MiB/s).
  constexpr std::uint64_t unlimited = 1ULL << 60U;
  tell_qemu(domain, {{"execute", "migrate-set-parameters"}, {"arguments", {{"max-bandwidth", unlimited}}}},
            doing);
  give_qemu_file(domain, fd.get(), fd_name, doing);
  constexpr std::chrono::seconds longest(20);
  tell_qemu(domain, {{"execute", "migrate"}, {"arguments", {{"uri", std::string("fd:") + fd_name}}}}, doing);
  try {
    wait_for_end(domain, longest, doing);
  } catch (const Error&) {
    cancel_migration(domain, doing);
    throw;
  }
}

void load_state(const Domain& domain, const std::filesystem::path& file, const std::string& doing) {
  const UniqueFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) throw Error(doing + ": read " + file.string() + ": " + errno_text(errno));
  give_qemu_file(domain, fd.get(), fd_name, doing);
  tell_qemu(domain, {{"execute", "migrate-incoming"}, {"arguments", {{"uri", std::string("fd:") + fd_name}}}},
            doing);
  constexpr std::chrono::minutes longest(1);
  wait_for_end(domain, longest, doing);
}

}  // namespace sarde
