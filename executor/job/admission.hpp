#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>

#include "core/foundation/reporter.hpp"
#include "core/job/job_record.hpp"
#include "core/system/clock.hpp"
#include "core/system/host_size.hpp"

namespace sarde {

/// Lets as many jobs' VMs run at once as the host has room for; the others wait, first come, first served.
///
/// The ledger is in the jobs' folders: a job that waits has a ticket with a number, one that was admitted a
/// reservation. A lock on `jobsdir` orders whoever looks. A ticket counts as long as its prepare lives, a
/// reservation as long as the job may have a VM; both go with the job's folder.
class Admission {
 public:
  struct Rules {
    std::optional<unsigned> max_vms = {};  ///< nothing: as many as there is memory for
    double overcommit = 1;                 ///< of the host's memory; at least 1
    std::chrono::milliseconds timeout{};
    std::filesystem::path jobsdir = {};
  };

  struct Parts {
    Rules rules;
    /// The memory of the machine that runs the VMs, and what VMs of these names have of it now; nothing if
    /// that is another machine.
    std::function<std::optional<HostMemory>(const std::vector<std::string>& vms)> memory;
    std::function<void()> discard_leftovers;  ///< what dead jobs hold; called from time to time
    Clock& clock;
    Cancellation& cancellation;
    Reporter& reporter;
  };

  explicit Admission(Parts parts) : parts_(std::move(parts)) {}

  /// Blocks until the job may start a VM of this size, and reserves it in the job's folder, whose lock the
  /// caller holds. `meanwhile` is called several times a second as long as there is no room. Throws Error:
  /// the job's fault if this host will never have that much memory, the host's when `timeout` has passed;
  /// Cancelled.
  void wait_for(const JobFolder& folder, std::uint64_t memory_mib, const std::function<void()>& meanwhile);

 private:
  struct Ledger;
  [[nodiscard]] Ledger read_ledger(const JobFolder& own) const;
  [[nodiscard]] std::string obstacle(const Ledger& ledger, std::uint64_t needed_mib) const;

  Parts parts_;
};

}  // namespace sarde
