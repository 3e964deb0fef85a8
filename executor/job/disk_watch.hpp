#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "core/system/clock.hpp"
#include "executor/job/job_resources.hpp"

namespace sarde {

/// Monitors how much a job's VM writes to its disks on this host, from its start: whenever `prepare` waits,
/// and while a script runs. It is not a quota: a VM can exceed the limit between two checks.
class DiskWatch {
 public:
  struct Bounds {
    std::uint64_t limit = UINT64_MAX;  ///< bytes that the VM may write
    std::uint64_t room = 0;  ///< bytes that were free when it started; 0: not known, so nothing is checked
  };

  DiskWatch(const JobResources& resources, Bounds bounds, Source<Machines> machines, const Clock& clock)
      : name_(resources.name().text()),
        folder_(resources.folder().path()),
        bounds_(bounds),
        machines_(std::move(machines)),
        clock_(clock),
        next_sure_look_(clock.now() + sure_look_every) {}

  /// To be called about once a second. Destroys the VM and throws Error, the job's fault, when it has written
  /// more than its limit, or when it has used up almost all of the host's free space. libvirt is asked once a
  /// minute, and more often when the host has lost so much space that this VM could be the reason.
  void look();

 private:
  static constexpr std::chrono::milliseconds sure_look_every{60'000};

  [[nodiscard]] bool is_due(std::uint64_t room_now);

  std::string name_;
  std::filesystem::path folder_;
  Bounds bounds_;
  Source<Machines> machines_;
  const Clock& clock_;
  TimePoint next_look_{};
  TimePoint next_sure_look_;
};

/// The bounds of a VM whose disks are in this folder: `limit` (max-job-disk), but never the last of the
/// host's free space.
DiskWatch::Bounds disk_bounds(const std::filesystem::path& folder, std::uint64_t limit);

}  // namespace sarde
