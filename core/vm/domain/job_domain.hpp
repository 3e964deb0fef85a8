#pragma once

#include <string>
#include <vector>

#include "core/vm/job_vm.hpp"

namespace sarde {

/// The XML namespace of the metadata on a job's domain: <job xmlns="…" id=… expires=… boot=…
/// expires-uptime=… folder=…/> (see Moment and JobDomain).
inline constexpr auto job_metadata_uri = "urn:sarde-executor:job:1";

/// QEMU's name for what connects the domain to passt's socket.
inline constexpr auto passt_netdev = "passt0";

/// A domain to start.
struct BuiltDomain {
  std::string xml;
  std::vector<std::string> left_out;  ///< elements of the image's domain that were not taken over
};

/// Builds the domain of a job from its image's: of that only what read_image_domain() gives, and the devices
/// that the administrator allows. Throws Error (the job's fault).
BuiltDomain build_job_domain(const JobVm& vm);

/// The network card of that domain alone, as libvirt wants to see it to change its filter while the VM runs.
std::string job_interface(const JobVm& vm);

}  // namespace sarde
