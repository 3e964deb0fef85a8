#pragma once

#include <cstdint>
#include <string>

#include "core/image/store/image_store.hpp"
#include "core/job/job.hpp"
#include "core/vm/domain/domain_reading.hpp"
#include "executor/job/job_network.hpp"
#include "executor/job/job_resources.hpp"
#include "executor/job/shared_folders.hpp"
#include "executor/job/vm_shape.hpp"

namespace sarde {

/// A running VM of a job.
struct StartedVm {
  JobVm vm;
  JobNetwork network;
};

/// What a guest needs of its VM.
struct GuestNeeds {
  std::uint16_t ssh_port = 22;
  std::vector<OwnDisk> disks = {};  ///< beside its image's
  std::vector<FolderMount> mounts = {};
  bool agent = false;  ///< what sets it up speaks to its agent
};

/// Starts jobs' VMs, with thin copies of the image's disks, a network and a newly written domain.
class VmStarter {
 public:
  struct Parts {
    ShapeRules shape;
    JobNetworks networks;
    Source<Hypervisor> hypervisor;
    const Clock& clock;
    Reporter& reporter;
  };

  explicit VmStarter(Parts parts) : parts_(std::move(parts)) {}

  /// Asks libvirt whether it is there, and whether a VM will find its network and QEMU its folders. Throws
  /// Error with what to do.
  void check_host(const std::filesystem::path& vmdir, const std::filesystem::path& jobsdir) const;

  /// The memory in MiB that a planned VM gets.
  [[nodiscard]] static std::uint64_t memory_of(const JobVm& vm);

  /// Makes the copies of the disks and decides what the VM is, without asking libvirt for anything. All files
  /// that this creates are in the job's folder and are removed with it. Throws Error, the job's fault if the
  /// image is refused.
  StartedVm plan(const Job& job, const ObtainedImage& image, const JobResources& resources,
                 const GuestNeeds& guest);

  /// Starts what was planned. Throws Error.
  void start(StartedVm& planned, const ObtainedImage& image, const JobFolder& folder,
             const GuestNeeds& guest);

 private:
  DiskFiles make_copies(const DomainSummary& domain, const UnpackedImage& disks, const JobFolder& folder);
  [[nodiscard]] std::vector<OwnDisk> own_disks(const GuestNeeds& guest, const JobFolder& folder) const;
  JobVm sized_vm(const Job& job, const StoredImage& image, const JobResources& resources) const;
  void let_qemu_in(const UnpackedImage& disks, const JobVm& vm, const std::vector<FolderMount>& mounts);
  void start_domain(StartedVm& started);
  void forget_copies(const JobVm& vm);

  Parts parts_;
};

}  // namespace sarde
