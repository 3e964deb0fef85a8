#include "executor/job/admission.hpp"

#include <algorithm>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/system/files.hpp"
#include "core/vm/vm_name.hpp"
#include "executor/job/vm_shape.hpp"

namespace sarde {

using std::chrono::milliseconds;

namespace {

constexpr milliseconds look_every(300);
constexpr milliseconds discard_every(10'000);
constexpr milliseconds say_every(60'000);

std::string mib_text(std::uint64_t mib) {
  return size_text(mib << 20U);
}

std::uint64_t memory_to_give(const HostMemory& memory, double overcommit) {
  return static_cast<std::uint64_t>(static_cast<double>(memory_for_vms(memory.total_mib)) * overcommit);
}

}  // namespace

struct Admission::Ledger {
  std::uint64_t ticket = 0;        ///< the own one; 0: none yet
  std::uint64_t last_ticket = 0;   ///< of all
  unsigned ahead = 0;              ///< jobs with smaller tickets
  std::uint64_t reserved_mib = 0;  ///< by others
  std::vector<std::string> vms;    ///< that have reservations
};

Admission::Ledger Admission::read_ledger(const JobFolder& own) const {
  Ledger ledger;
  ledger.ticket = own.ticket().value_or(0);
  ledger.last_ticket = ledger.ticket;
  for (const auto& path : folder_entries(parts_.rules.jobsdir)) {
    const auto name = path.filename().string();
    if (path == own.path() || !VmName::parse(name)) continue;
    const JobFolder other(path);
    if (const auto reserved = other.reservation()) {
      if (!other.is_prepared() && !other.expects_vm() && !other.is_locked()) continue;
      ledger.reserved_mib += *reserved;
      ledger.vms.push_back(name);
    } else if (const auto ticket = other.ticket(); ticket && other.is_locked()) {
      ledger.last_ticket = std::max(ledger.last_ticket, *ticket);
      if (ledger.ticket == 0 || *ticket < ledger.ticket) ++ledger.ahead;
    }
  }
  return ledger;
}

/// Why a VM that needs this much has to wait; empty if it may start.
std::string Admission::obstacle(const Ledger& ledger, std::uint64_t needed_mib) const {
  const auto& [max_vms, overcommit, timeout, jobsdir] = parts_.rules;
  if (ledger.ahead > 0) return std::to_string(ledger.ahead) + " other job(s) came first";
  if (max_vms && ledger.vms.size() >= *max_vms)
    return std::to_string(ledger.vms.size()) + " VM(s) are running, and max-vms is " +
           std::to_string(*max_vms);
  const auto memory = parts_.memory(ledger.vms);
  if (!memory) return "";
  const auto most = memory_to_give(*memory, overcommit);
  const auto needs = "the VM needs " + mib_text(needed_mib) + " of memory, ";
  if (ledger.reserved_mib + needed_mib > most)
    return needs + "and " + std::to_string(ledger.vms.size()) + " other(s) have " +
           mib_text(ledger.reserved_mib) + " of the " + mib_text(most) + " that this host has for VMs";
  if (ledger.vms.empty()) return "";  // nothing would change by waiting for the first
  // Other programs need memory, too. What the VMs were promised and have not touched yet is still to come.
  const auto promised = ledger.reserved_mib - std::min(ledger.reserved_mib, memory->of_vms_mib);
  const auto available = static_cast<std::uint64_t>(static_cast<double>(memory->available_mib) * overcommit);
  if (promised + needed_mib > available)
    return needs + "and this host has only " + mib_text(available - std::min(available, promised)) +
           " available";
  return "";
}

void Admission::wait_for(const JobFolder& folder, std::uint64_t memory_mib,
                         const std::function<void()>& meanwhile) {
  const auto needed = memory_mib + qemu_overhead_mib;
  if (const auto memory = parts_.memory({})) {
    const auto most = memory_to_give(*memory, parts_.rules.overcommit);
    if (needed > most)
      throw Error(Blame::job, "the VM needs " + mib_text(needed) + " of memory, more than the " +
                                  mib_text(most) + " that this host has for VMs (memory, memory-overcommit)");
  }
  const auto deadline = parts_.clock.now() + parts_.rules.timeout;
  const auto begun = parts_.clock.now();
  auto next_discard = begun + discard_every;
  auto next_word = begun;
  for (;;) {
    std::string why;
    {
      const auto lock = FileLock::on_folder(
          parts_.rules.jobsdir,
          {.clock = parts_.clock, .cancellation = parts_.cancellation, .deadline = deadline});
      const auto ledger = read_ledger(folder);
      why = obstacle(ledger, needed);
      if (why.empty()) {
        folder.reserve(needed);
        break;
      }
      if (ledger.ticket == 0) folder.take_ticket(ledger.last_ticket + 1);
    }
    const auto now = parts_.clock.now();
    if (now >= deadline)
      throw Error("wait for room on this host: after " + duration_text(parts_.rules.timeout) +
                  " (admission-timeout), " + why);
    if (now >= next_word) {
      parts_.reporter.say("Waiting for room on this host: " + why);
      next_word = now + say_every;
    }
    if (now >= next_discard) {
      parts_.discard_leftovers();
      next_discard = parts_.clock.now() + discard_every;
    }
    meanwhile();
    parts_.clock.sleep(look_every, parts_.cancellation);
  }
  if (const auto waited = milliseconds_between(begun, parts_.clock.now()); waited > look_every)
    parts_.reporter.say("There is room on this host (" + duration_text(waited) + ")");
}

}  // namespace sarde
