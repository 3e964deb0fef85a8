#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/vm/hypervisor.hpp"

namespace sarde {

// Domain XML (libvirt, formatdomain.html) as it is written: a VM's own definition, or an image's before its
// values are checked (read_image_domain()). Nothing read here goes to libvirt.

/// A file disk of a domain.
struct DomainDisk {
  std::string file;    ///< path, or bare name in an image
  std::string format;  ///< qcow2, raw, …: the driver's type; empty where it is unsaid
  std::string device;  ///< disk or cdrom
  std::string target;  ///< what the domain calls it: vda
  bool read_only = false;
};

/// What a domain's definition says about the VM, as far as others need to know it.
struct DomainSummary {
  std::string name;
  std::string architecture;  ///< libvirt's name: x86_64
  std::vector<DomainDisk> disks;
  std::string uefi_variables = {};  ///< the file that has them (NVRAM); empty: none is named
  bool has_user_network = false;    ///< its first interface is QEMU's user-mode network
};

/// Where a definition comes from: an image's is foreign text, whose size is bounded.
enum class DomainOrigin { image, this_host };

/// Throws Error (the job's fault) naming `what` when the text is no domain, or too odd to run.
DomainSummary parse_domain(std::string_view xml, const std::string& what,
                           DomainOrigin origin = DomainOrigin::image);

/// Files and devices that a domain's definition names: disks with their backing chains.
std::vector<std::filesystem::path> files_of_domain(std::string_view xml);

/// The files that a domain writes to while it runs.
std::vector<std::filesystem::path> written_files_of_domain(std::string_view xml);

std::vector<VolumeName> volumes_of_domain(std::string_view xml);

/// The libvirt networks that a domain's cards are on, as it names them.
std::vector<std::string> networks_of_domain(std::string_view xml);

/// Whether an image's domain has a TPM.
bool has_tpm(std::string_view image_xml);

/// The targets (vda) of all disks.
std::vector<std::string> disk_targets(std::string_view xml);

/// libvirt's order to copy disks of a running domain (formatbackup.html); `all_targets`: every disk it has.
std::string backup_order(const std::vector<DiskCopy>& copies, const std::vector<std::string>& all_targets);

/// libvirt's order to go on in new files, which exist already (formatsnapshot.html); `next`: by the path of
/// the file that a disk of the running domain writes to now. Throws Error if the domain has no such disk.
std::string snapshot_order(const std::map<std::filesystem::path, std::filesystem::path>& next,
                           std::string_view domain_xml);

/// What a guest sees of its VM: the machine, its processors, and each device with its place. Two running VMs
/// whose texts are the same differ in names, files and numbers of the host's only. `domain_xml`: of a running
/// one.
std::string guest_shape(std::string_view domain_xml);

}  // namespace sarde
