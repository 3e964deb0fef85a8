#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "core/vm/disk_file.hpp"
#include "core/vm/domain/job_domain.hpp"

namespace sarde {

/// A VM that is to be defined.
struct NewVm {
  std::string name;
  const DiskFiles& files;            ///< by the disk's file in the definition that it is made from
  std::filesystem::path nvram = {};  ///< its own copy of the UEFI variables; empty: libvirt makes new ones
  VirtType virt_type = VirtType::qemu;
};

/// An image's domain as a VM is to be defined: on its own files in place of those that the image's disks
/// name, without identity (uuid, MAC addresses). It is written anew, as a job's is, with more of what the
/// image has (carried_table()). Throws Error (the job's fault) if there is no file for a disk, or for what no
/// VM can have.
BuiltDomain domain_to_define(std::string_view image_xml, const NewVm& vm);

/// The definition of a VM of this host, as libvirt gave it, for a copy of that VM: without uuid, MAC
/// addresses, and without metadata of ours. Throws Error (the job's fault).
std::string domain_of_copy(std::string_view xml, const NewVm& vm);

/// A VM's definition as it goes into an image: without uuid, MAC addresses, NVRAM file, itco watchdog,
/// security labels, metadata of ours, passwords and backing chains (the disks' headers tell them), each
/// disk's file by the name that `names` gives for it.
std::string domain_for_export(std::string_view xml, const std::map<std::string, std::string>& names);

}  // namespace sarde
