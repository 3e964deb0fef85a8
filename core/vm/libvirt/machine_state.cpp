#include "core/vm/libvirt/machine_state.hpp"

#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <thread>

#include <libvirt/libvirt-qemu.h>

#include "core/foundation/json_reading.hpp"
#include "core/foundation/unique_fd.hpp"
#include "core/system/files.hpp"
#include "core/vm/libvirt/libvirt_errors.hpp"

namespace sarde {

using nlohmann::json;

namespace {

constexpr auto fd_name = "sarde-state";

/// What QEMU answers; Error if that is an error.
json answer_of(const char* text, const std::string& doing) {
  return read_json(text, "QEMU's answer", Blame::host, [&](const json& answer) {
    if (answer.contains("error"))
      throw Error(doing + ": QEMU says " + quote(answer.at("error").value("desc", "")));
    return answer.at("return");
  });
}

json tell_qemu(const Domain& domain, const json& order, const std::string& doing) {
  char* answer = nullptr;
  if (virDomainQemuMonitorCommand(domain.get(), order.dump().c_str(), &answer, 0) != 0) fail_libvirt(doing);
  const CText text(answer);
  return answer_of(text.get(), doing);
}

void give_fd(const Domain& domain, int fd, const std::string& doing) {
  const auto order = json{{"execute", "getfd"}, {"arguments", {{"fdname", fd_name}}}}.dump();
  char* answer = nullptr;
  if (virDomainQemuMonitorCommandWithFiles(domain.get(), order.c_str(), 1, &fd, nullptr, nullptr, &answer,
                                           0) != 0)
    fail_libvirt(doing);
  const CText text(answer);
  answer_of(text.get(), doing);
}

/// Waits until a migration is over. Throws Error if it ended otherwise than well, or has not by then.
void wait_for_end(const Domain& domain, std::chrono::seconds longest, const std::string& doing) {
  constexpr std::chrono::milliseconds pause(5);
  const auto deadline = std::chrono::steady_clock::now() + longest;
  while (std::chrono::steady_clock::now() < deadline) {
    const auto now = tell_qemu(domain, {{"execute", "query-migrate"}}, doing);
    const auto status = now.value("status", "");
    if (status == "completed") return;
    if (status == "failed" || status == "cancelled")
      throw Error(doing + ": QEMU says " + quote(now.value("error-desc", status)));
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
  give_fd(domain, fd.get(), doing);
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
  give_fd(domain, fd.get(), doing);
  tell_qemu(domain, {{"execute", "migrate-incoming"}, {"arguments", {{"uri", std::string("fd:") + fd_name}}}},
            doing);
  constexpr std::chrono::minutes longest(1);
  wait_for_end(domain, longest, doing);
}

}  // namespace sarde
