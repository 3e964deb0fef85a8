#include "executor/stages/thin_copies.hpp"

#include <algorithm>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/image/disk_overlay.hpp"
#include "core/image/qcow2_header.hpp"

namespace sarde {

std::string checked_disk_format(const UnpackedImage& image, const DomainDisk& disk) {
  if (std::ranges::find(image.disks, disk.file) == image.disks.end()) {
    throw Error(Blame::job,
                "the image's domain has a disk " + quote(disk.file) + ", which the image does not hold");
  }
  const auto said = disk.format.empty() ? "raw" : disk.format;  // as libvirt takes it
  const bool is_qcow2 = read_qcow2_header(image.folder / disk.file).has_value();
  if (said == "qcow2" && !is_qcow2)
    throw Error(Blame::job, "disk " + quote(disk.file) + " is not in qcow2 format as the image says");
  if (said == "raw" && is_qcow2)
    throw Error(Blame::job, "disk " + quote(disk.file) + " is in qcow2 format, not raw as the image says");
  if (said != "qcow2" && said != "raw")
    throw Error(Blame::job, "disk " + quote(disk.file) + " has the format " + quote(said) +
                                "; qcow2 and raw are supported");
  return said;
}

std::map<std::string, DiskFile> make_thin_copies(
    const ImageDomain& domain, const UnpackedImage& image,
    const std::function<std::filesystem::path(const std::string& disk)>& copy_of) {
  std::map<std::string, DiskFile> files;
  for (const auto& disk : domain.disks) {
    const auto format = checked_disk_format(image, disk);
    const auto base = image.folder / disk.file;
    if (disk.read_only || disk.device == "cdrom") {
      files[disk.file] = {.path = base, .format = format};
      continue;
    }
    files[disk.file] = {.path = copy_of(disk.file), .format = "qcow2"};
    create_overlay({.base = base, .base_format = format, .overlay = files[disk.file].path});
  }
  if (files.empty()) throw Error(Blame::job, "the image's domain has no disk");
  return files;
}

}  // namespace sarde
