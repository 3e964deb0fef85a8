#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sarde {

/// An element of an image's domain, as messages name it: `devices/hostdev`.
struct DomainElement {
  std::string path;
  std::string why;  ///< what is wrong with it: "would give the VM a device of this host"
};

/// Elements of an image's domain that reach for something of the host's: its devices, files, sockets,
/// programs, command lines, other machines. A job's VM is built anew and would get none of them; an image
/// that has them is refused all the same, for its VM is not the one that its author meant, or was meant to do
/// harm. What every `virsh dumpxml` has and means nothing elsewhere (the emulator's usual path, the
/// firmware's, the guest agent's socket) is not listed. `allowed`: names of elements in <devices> that the
/// administrator lets pass.
///
/// Throws Error (the job's fault) if it is no domain.
std::vector<DomainElement> elements_to_refuse(std::string_view image_xml,
                                              const std::vector<std::string>& allowed);

/// Throws Error, the job's fault, if it is another hypervisor's domain, which QEMU would not boot.
void refuse_other_hypervisors(std::string_view xml);

/// Throws Error, the job's fault, listing what elements_to_refuse() finds, or saying which value of the
/// domain no job's VM may have (read_image_domain()).
void refuse_what_no_job_may_have(std::string_view image_xml, const std::vector<std::string>& allowed);

}  // namespace sarde
