#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/vm/disk_file.hpp"
#include "core/vm/domain/xml_text.hpp"

namespace sarde {

/// Writes <source>, <backingStore> of a disk element for this file. What several VMs share is said not to be
/// relabelled: libvirt would give it to QEMU's account, and whoever breaks out of one VM's QEMU could change
/// the disks of all later ones (formatdomain.html, "seclabel").
void write_disk_source(pugi::xml_node disk, const DiskFile& file);

}  // namespace sarde
