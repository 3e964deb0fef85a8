#include "executor/job/thin_copies.hpp"

#include <algorithm>
#include <utility>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/image/disk/disk_overlay.hpp"
#include "core/image/disk/qcow2_header.hpp"

namespace sarde {

std::string checked_disk_format(const UnpackedImage& image, const DomainDisk& disk) {
  if (std::ranges::find(image.disks, disk.file) == image.disks.end()) {
    throw Error(Blame::job,
                "the image's domain has a disk " + quote(disk.file) + ", which the image does not hold");
  }
  const auto said = disk.format.empty() ? "raw" : disk.format;  // as libvirt takes it
  const bool is_qcow2 = read_qcow2_header(image.folder / disk.file).has_value();
  if (said == "qcow2" && !is_qcow2)
    throw Error(Blame::job,
                "disk " + quote(disk.file) + " is not in qcow2 format, although the image's domain says so");
  if (said == "raw" && is_qcow2)
    throw Error(Blame::job,
                "disk " + quote(disk.file) + " is in qcow2 format, although the image's domain says raw");
  if (said != "qcow2" && said != "raw")
    throw Error(Blame::job, "disk " + quote(disk.file) + " has the format " + quote(said) +
                                "; qcow2 and raw are supported");
  return said;
}

DiskFile file_of_image(const UnpackedImage& image, const DomainDisk& disk) {
  DiskFile file{.path = image.folder / disk.file, .format = checked_disk_format(image, disk)};
  auto below = file.path;
  auto format = file.format;
  // The chain was checked when the image was unpacked: all its files belong to the image, and it ends.
  while (format == "qcow2" && file.backing.size() < image.disks.size()) {
    const auto header = read_qcow2_header(below);
    if (!header || !header->backing_file) break;
    below = image.folder / *header->backing_file;
    format = header->backing_format.value_or("raw");
    file.backing.push_back({.path = below, .format = format});
  }
  return file;
}

void let_qemu_read(const QemuAccess& access, const UnpackedImage& image) {
  access.enter(image.folder.parent_path());
  access.enter(image.folder);
  const bool is_served = !image.served_at.empty();
  for (const auto& disk : image.disks)
    is_served ? access.read_growing(image.folder / disk) : access.read(image.folder / disk);
  if (is_served) access.connect(image.served_at);
}

DiskFiles make_thin_copies(const DomainSummary& domain, const UnpackedImage& image, const NewCopies& copies) {
  DiskFiles files;
  auto least_size = copies.first_size;
  for (const auto& disk : domain.disks) {
    auto base = file_of_image(image, disk);
    if (disk.read_only || disk.device == "cdrom") {
      base.ownership = DiskOwnership::shared;
      files[disk.file] = std::move(base);
      continue;
    }
    DiskFile copy{.path = copies.path(disk.file),
                  .format = "qcow2",
                  .backing = {{.path = base.path, .format = base.format}}};
    create_overlay({.base = base.path,
                    .base_format = base.format,
                    .overlay = copy.path,
                    .least_size = std::exchange(least_size, 0)});
    copy.backing.insert(copy.backing.end(), base.backing.begin(), base.backing.end());
    files[disk.file] = std::move(copy);
  }
  if (files.empty()) throw Error(Blame::job, "the image's domain has no disk");
  return files;
}

}  // namespace sarde
