#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "core/vm/disk_file.hpp"
#include "core/vm/domain/job_domain.hpp"
#include "core/vm/domain/source_disks.hpp"

namespace sarde {

/// A VM that is to be defined.
struct NewVm {
  std::string name;
  const DiskFiles& files;            ///< by the disk's file in the definition that it is made from
  std::filesystem::path nvram = {};  ///< its own copy of the UEFI variables; empty: libvirt makes new ones
  VirtType virt_type = VirtType::qemu;
  std::set<std::string> unknown_networks = {};  ///< cards on these are put on QEMU's user-mode network
};

/// An image's domain as a VM is to be defined: on its own files in place of those that the image's disks
/// name, without identity (uuid, MAC addresses). It is written anew, as a job's is, with more of what the
/// image has (carried_table()). Throws Error (the job's fault) if there is no file for a disk, or for what no
/// VM can have.
BuiltDomain domain_to_define(std::string_view image_xml, const NewVm& vm);

/// The definition of a VM of this host, as libvirt gave it, for a copy of that VM: without uuid, MAC
/// addresses, and without metadata of ours. Throws Error (the job's fault).
std::string domain_of_copy(std::string_view xml, const NewVm& vm);

/// What becomes of a VM's disks and drives in an image, by their place among its <disk>s, from 0. Those that
/// are in none of these stay as they are.
struct ExportedDisks {
  std::map<std::size_t, DiskInImage> kept = {};
  std::set<std::size_t> emptied = {};  ///< drives without what is in them
  std::set<std::size_t> dropped = {};
};

/// A VM's definition as it goes into an image: without uuid, MAC addresses, NVRAM file, itco watchdog,
/// security labels, metadata of ours, passwords and backing chains (the disks' headers tell them).
std::string domain_for_export(std::string_view xml, const ExportedDisks& disks);

}  // namespace sarde
