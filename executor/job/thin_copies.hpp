#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>

#include "core/image/store/image_store.hpp"
#include "core/system/environment.hpp"
#include "core/vm/disk_file.hpp"
#include "core/vm/domain/domain_reading.hpp"
#include "core/vm/qemu_account.hpp"

namespace sarde {

/// The format of a disk of an unpacked image, as its domain says it: qcow2 or raw. Throws Error (the job's
/// fault) if the image does not hold the disk, or its header says otherwise.
std::string checked_disk_format(const UnpackedImage& image, const DomainDisk& disk);

/// The image's file of a disk, and what that rests on.
DiskFile file_of_image(const UnpackedImage& image, const DomainDisk& disk);

/// Lets QEMU reach and read the image's disks, and nobody else. Throws Error.
void let_qemu_read(const QemuAccess& access, const UnpackedImage& image);

/// Files for a VM on an image's disks: a thin copy of each that it may write to, the others as they are. By
/// the image's name of the disk. `copy_of` says where a disk's copy goes. Throws Error.
DiskFiles make_thin_copies(const DomainSummary& domain, const UnpackedImage& image,
                           const std::function<std::filesystem::path(const std::string& disk)>& copy_of);

}  // namespace sarde
