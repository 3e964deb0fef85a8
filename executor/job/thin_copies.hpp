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

/// The format that the domain states for a disk of an unpacked image: qcow2 or raw. Throws Error (the job's
/// fault) if the image does not contain the disk, or if the disk's header contradicts the domain.
std::string checked_disk_format(const UnpackedImage& image, const DomainDisk& disk);

/// The image's file for a disk, and the files that it is based on.
DiskFile file_of_image(const UnpackedImage& image, const DomainDisk& disk);

/// Gives QEMU, and no other account, access to read the image's disks. Throws Error.
void let_qemu_read(const QemuAccess& access, const UnpackedImage& image);

/// Where the thin copies of a VM's disks are made.
struct NewCopies {
  std::function<std::filesystem::path(const std::string& disk)> path;  ///< of a disk's copy
  std::uint64_t first_size = 0;  ///< bytes that the first disk has at least
};

/// The files for a VM on an image's disks, by the disk's name in the image: a thin copy of each disk that the
/// VM may write to, and the image's own file for the others. Throws Error.
DiskFiles make_thin_copies(const DomainSummary& domain, const UnpackedImage& image, const NewCopies& copies);

}  // namespace sarde
