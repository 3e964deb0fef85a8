#include "core/vm/domain/image_parts.hpp"

#include <algorithm>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"

namespace sarde {

using pugi::xml_node;

namespace {

xml_node add_source(xml_node parent, const std::filesystem::path& path, DiskOwnership ownership) {
  auto source = add(parent, "source", {{"file", path.string()}});
  if (ownership == DiskOwnership::shared) add(source, "seclabel", {{"model", "dac"}, {"relabel", "no"}});
  return source;
}

void write_disk(xml_node devices, const ImageDisk& disk, const DiskFile& file,
                const std::vector<std::pair<const char*, std::string>>& driver) {
  auto node = add(devices, "disk", {{"type", "file"}, {"device", disk.is_cdrom ? "cdrom" : "disk"}});
  auto own = add(node, "driver", {{"name", "qemu"}, {"type", file.format}});
  for (const auto& [name, value] : driver) own.append_attribute(name).set_value(value.c_str());
  write_disk_source(node, file);
  add(node, "target", {{"dev", disk.target}, {"bus", disk.bus}});
  if (disk.boot_order != 0) add(node, "boot", {{"order", std::to_string(disk.boot_order)}});
  if (disk.read_only || disk.is_cdrom) add(node, "readonly");
}

}  // namespace

const DiskFile& file_for(const std::string& disk, const DiskFiles& files) {
  const auto found = files.find(disk);
  if (found == files.end())
    throw Error(Blame::job, "the domain has a disk " + quote(disk) + ", which the image does not hold");
  return found->second;
}

void write_disks(xml_node devices, const ImageDomainValues& image, const DiskFiles& files,
                 const std::vector<std::pair<const char*, std::string>>& driver) {
  for (const auto& disk : image.disks) write_disk(devices, disk, file_for(disk.file, files), driver);
  for (std::size_t i = 0; i < image.scsi_controllers.size(); ++i)
    add(devices, "controller",
        {{"type", "scsi"}, {"index", std::to_string(i)}, {"model", image.scsi_controllers[i]}});
}

xml_node write_os(xml_node domain, const ImageDomainValues& image) {
  auto os = add(domain, "os");
  if (image.uefi) os.append_attribute("firmware").set_value("efi");
  auto type = add(os, "type", {{"arch", image.architecture}}, "hvm");
  if (!image.machine.empty()) type.append_attribute("machine").set_value(image.machine.c_str());
  return os;
}

bool disks_have_boot_order(const ImageDomainValues& image) {
  return std::ranges::any_of(image.disks, [](const ImageDisk& disk) { return disk.boot_order != 0; });
}

void write_disk_source(xml_node disk, const DiskFile& file) {
  add_source(disk, file.path, file.ownership);
  auto parent = disk;
  for (const auto& below : file.backing) {
    parent = add(parent, "backingStore", {{"type", "file"}});
    add(parent, "format", {{"type", below.format}});
    add_source(parent, below.path, DiskOwnership::shared);
  }
  add(parent, "backingStore");  // an empty one ends the chain: libvirt looks no further
}

}  // namespace sarde
