#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/vm/disk_file.hpp"
#include "core/vm/domain/image_domain.hpp"
#include "core/vm/domain/xml_text.hpp"
#include "core/vm/job_vm.hpp"

namespace sarde {

// What the domain of a job's VM and that of a VM to be defined have of an image alike.

/// Writes <source>, <backingStore> of a disk element for this file. What several VMs share is said not to be
/// relabelled: libvirt would give it to QEMU's account, and whoever breaks out of one VM's QEMU could change
/// the disks of all later ones (formatdomain.html, "seclabel").
void write_disk_source(pugi::xml_node disk, const DiskFile& file);

/// The file for a domain's disk. Throws Error (the job's fault) if there is none.
const DiskFile& file_for(const std::string& disk, const DiskFiles& files);

/// An image's domain, and what was read from it.
struct ImageDomain {
  pugi::xml_node node;
  const ImageDomainValues& values;
};

/// Writes the disks of an image's domain and their SCSI controllers into <devices> of a new one. `driver`:
/// more attributes for each disk's driver. Throws Error (the job's fault) for a disk without a file.
void write_disks(pugi::xml_node devices, const ImageDomain& image, const DiskFiles& files,
                 const std::vector<std::pair<const char*, std::string>>& driver = {});

/// Writes <os>: firmware, architecture and machine, as the image has them. `nvram`: the file of the UEFI
/// variables; empty: libvirt's choice.
pugi::xml_node write_os(pugi::xml_node domain, const ImageDomainValues& image,
                        const std::filesystem::path& nvram);

/// Adds what the copied features lack: ACPI, without which UEFI boots nothing, and, under KVM, what Windows
/// expects of a hypervisor.
void complete_features(pugi::xml_node domain, const ImageDomainValues& image, VirtType virt_type);

/// Throws Error (the job's fault) if it is another hypervisor's domain, which would not boot here.
void refuse_other_hypervisors(const pugi::xml_node& domain);

/// Has one of the disks a place of its own in the boot order? libvirt takes no <boot> in <os> beside it.
bool disks_have_boot_order(const ImageDomainValues& image);

}  // namespace sarde
