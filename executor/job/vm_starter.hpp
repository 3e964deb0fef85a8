#pragma once

#include <cstdint>
#include <string>

#include "core/image/store/image_store.hpp"
#include "core/job/job.hpp"
#include "core/vm/domain/domain_reading.hpp"
#include "executor/job/job_network.hpp"
#include "executor/job/job_resources.hpp"
#include "executor/job/vm_shape.hpp"

namespace sarde {

/// A job's VM that runs.
struct StartedVm {
  JobVm vm;
  JobNetwork network;
};

/// Starts jobs' VMs: thin copies of the image's disks, a network, a domain written anew.
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

  /// `guest_port`: of the guest's SSH server. What it makes is in the job's folder, and goes with it. Throws
  /// Error; libvirt is asked for nothing on behalf of an image that is to be refused.
  StartedVm start(const Job& job, const ObtainedImage& image, const JobResources& resources,
                  std::uint16_t guest_port);

 private:
  DiskFiles make_copies(const DomainSummary& domain, const UnpackedImage& disks, const JobFolder& folder);
  JobVm plan(const Job& job, const StoredImage& image, const JobResources& resources) const;
  void let_qemu_in(const UnpackedImage& disks, const JobVm& vm);
  void start_domain(StartedVm& started);
  void forget_copies(const JobVm& vm);

  Parts parts_;
};

}  // namespace sarde
