#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/image/store/image_store.hpp"
#include "core/image/store/warm_templates.hpp"
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

  /// The sizes of disks that the settings ask for, as text: two VMs with the same have disks of one size.
  [[nodiscard]] std::string disk_sizes() const;

  /// Asks libvirt how the VM will run: under KVM, or emulated. Throws Error.
  void settle(StartedVm& planned);

  /// Starts what was planned and settled; if QEMU cannot use passt's socket, on the network that takes
  /// passt's place. Throws Error.
  void start(StartedVm& planned, const ObtainedImage& image, const JobFolder& folder,
             const GuestNeeds& guest);

  /// The same, but the VM continues from a template's state, and its disks are thin copies of the template's.
  /// Throws Error; after undo(), the VM can be started.
  void restore(StartedVm& planned, const WarmTemplate& made, const ObtainedImage& image,
               const JobFolder& folder, const GuestNeeds& guest);

  /// Destroys a VM that restore() was called for, and what it made for it. Throws Error.
  void undo(StartedVm& started, const JobFolder& folder);

  /// Saves the state of a VM that runs into a folder, with copies of the layers that it has written so far,
  /// and lets it go on in new ones. Throws Error; the VM goes on then, too, unless it is gone.
  WarmTemplate save(StartedVm& started, const JobFolder& folder, const std::filesystem::path& files);

  /// Removes the names of the VM's overlays. QEMU has them open, so they disappear when it ends, no matter
  /// how.
  void forget_copies(const JobVm& vm);

 private:
  /// A disk that the VM writes to: its name in the image (or its serial number, if it is not from there).
  struct WrittenDisk {
    std::string name;
    std::filesystem::path& file;
    std::vector<BackingFile>& backing;
  };

  static std::vector<WrittenDisk> written_disks(JobVm& vm);
  void launch(StartedVm& planned, const ObtainedImage& image, const JobFolder& folder,
              const GuestNeeds& guest, const std::function<void()>& open_network,
              const std::function<void()>& start);
  static void close_network(const JobFolder& folder);
  static void require_room_for_state(const JobVm& vm, const std::vector<WrittenDisk>& disks,
                                     const std::filesystem::path& files);
  DiskFiles make_copies(const DomainSummary& domain, const UnpackedImage& disks, const JobFolder& folder);
  [[nodiscard]] std::vector<OwnDisk> own_disks(const GuestNeeds& guest, const JobFolder& folder) const;
  JobVm sized_vm(const Job& job, const StoredImage& image, const JobResources& resources) const;
  void let_qemu_in(const UnpackedImage& disks, const JobVm& vm, const std::vector<FolderMount>& mounts);
  void start_domain(StartedVm& started);

  Parts parts_;
};

}  // namespace sarde
