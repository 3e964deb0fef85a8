#pragma once

#include <filesystem>
#include <future>
#include <optional>
#include <string>

#include "core/job/job.hpp"
#include "executor/job/admission.hpp"
#include "executor/job/cloud_seed.hpp"
#include "executor/job/disk_server.hpp"
#include "executor/job/guest_door.hpp"
#include "executor/job/guest_runner.hpp"
#include "executor/job/job_images.hpp"
#include "executor/job/job_resources.hpp"
#include "executor/job/metrics.hpp"
#include "executor/job/provision.hpp"
#include "executor/job/vm_starter.hpp"
#include "executor/job/warm_start.hpp"

namespace sarde {

/// How the job's scripts run.
struct ScriptRules {
  std::string shell = {};
  std::string timezone = {};  ///< empty: the guest's
};

/// How a job's VM was started: it booted, its state may have been saved then, or it continued from one.
enum class VmStart { booted, saved, continued };

/// A guest that is ready for the job.
struct OpenGuest {
  OpenDoor door;
  std::string path_folder;        ///< that the job's PATH needs; empty: none
  std::uint64_t saved_state = 0;  ///< bytes of what the VM continued from; 0: it booted
  VmStart start = VmStart::booted;
};

/// `prepare`: starts a VM from the job's image and waits until the VM accepts the login. Afterwards there is
/// a running VM and the job's folder, which records how to log in; after a failure, nothing is left behind.
class PrepareStage {
 public:
  struct Rules {
    ImageRules image = {};
    LoginRules login = {};
    AdminScript script = {};  ///< prepare-script
    ScriptRules scripts = {};
    MountRules mounts = {};
    WarmRules warm = {};
    std::uint64_t max_job_disk = UINT64_MAX;   ///< bytes that the job may write to its disks
    std::chrono::milliseconds boot_timeout{};  ///< also for what sets up the guest once it is there
    std::filesystem::path jobsdir = {};        ///< where other jobs' folders are
    std::filesystem::path vmdir = {};          ///< where images are unpacked
    std::optional<JobOwner> owner = {};
    bool keeps_connection = false;                                      ///< between the job's stages
    std::vector<std::pair<std::string, std::string>> environment = {};  ///< of the process that keeps it
  };

  struct Parts {
    Rules rules;
    JobResources resources;
    JobImages images;
    CloudSeeds seeds;
    Admission admission;
    GuestRunners runners;
    VmStarter starter;
    GuestDoor door;
    Source<Hypervisor> machines;
    std::launch first_question = std::launch::async;  ///< to libvirt; deferred: when the answer is needed
    Metrics& metrics;
    Clock& clock;
    Cancellation& cancellation;
    Reporter& reporter;
  };

  explicit PrepareStage(Parts parts) : parts_(std::move(parts)) {}

  /// Returns how the VM was started. Throws Error, whose blame determines the exit code
  /// for gitlab-runner, Cancelled, and exceptions of the standard library. After any of these, nothing is
  /// left behind.
  VmStart run(const Job& job);

 private:
  void discard_earlier(const Job& job);
  void keep_connection();

  [[nodiscard]] DiskServerWatch watch_of_server(const ObtainedImage& image) const;
  std::vector<OwnDisk> disks_for(const StoredImage& image, const GuestSetup& setup);
  OpenGuest open(StartedVm& planned, const WarmStart::Subject& subject);
  OpenDoor boot(StartedVm& started, WarmStart& warm, const WarmStart::Subject& subject);

  Parts parts_;
};

}  // namespace sarde
