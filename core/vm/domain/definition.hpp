#pragma once

#include <map>
#include <string>
#include <string_view>

#include "core/vm/disk_file.hpp"
#include "core/vm/domain/job_domain.hpp"

namespace sarde {

/// An image's domain as a VM is to be defined: under `name`, on these files in place of those that its disks
/// name, without identity (uuid, MAC addresses) and NVRAM file. It is written anew, as a job's is, with more
/// of what the image has: the table in carried.cpp. Throws Error (the job's fault) if there is no file for a
/// disk, or for what no VM can have.
BuiltDomain domain_to_define(std::string_view image_xml, const std::string& name, const DiskFiles& files);

/// The definition of a VM of this host, as libvirt gave it, for a copy of that VM under `name`, on these
/// files: without uuid, MAC addresses, NVRAM file, and without metadata of ours. Throws Error (the job's
/// fault).
std::string domain_of_copy(std::string_view xml, const std::string& name, const DiskFiles& files);

/// A VM's definition as it goes into an image: without uuid, MAC addresses, itco watchdog, security labels,
/// metadata of ours, passwords and backing chains (the disks' headers tell them), each disk's file by the
/// name that `names` gives for it.
std::string domain_for_export(std::string_view xml, const std::map<std::string, std::string>& names);

}  // namespace sarde
