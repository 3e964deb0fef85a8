#include "core/vm/domain/image_parts.hpp"

#include <algorithm>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/vm/domain/carried.hpp"
#include "core/vm/domain/vocabulary.hpp"

namespace sarde {

using pugi::xml_node;

namespace {

xml_node add_source(xml_node parent, const std::filesystem::path& path, DiskOwnership ownership) {
  auto source = add(parent, "source", {{"file", path.string()}});
  if (ownership == DiskOwnership::shared) add(source, "seclabel", {{"model", "dac"}, {"relabel", "no"}});
  return source;
}

using Attributes = std::vector<std::pair<const char*, std::string>>;

/// The domain's `index`th disk.
xml_node disk_element(const xml_node& domain, std::size_t index) {
  auto disk = domain.child("devices").child("disk");
  for (std::size_t i = 0; i < index; ++i) disk = disk.next_sibling("disk");
  return disk;
}

/// What a disk says of itself to the guest.
void write_disk_details(xml_node node, const xml_node& from, const ImageDisk& disk) {
  copy_carried_child(from, node, "devices/disk", "serial");
  copy_carried_child(from, node, "devices/disk", "blockio");
  // libvirt knows these for some buses only.
  if (!disk.is_bus_of_image) return;
  if (disk.bus == "virtio") copy_carried_attributes(from, node, "devices/disk");
  if (disk.bus != "scsi" && disk.bus != "ide" && disk.bus != "sata") return;
  copy_carried_attributes(from.child("target"), node.child("target"), "devices/disk/target");
  if (disk.bus != "sata") copy_carried_child(from, node, "devices/disk", "wwn");
}

void write_disk(xml_node devices, const ImageDisk& disk, const DiskFile& file, const Attributes& driver) {
  auto node = add(devices, "disk", {{"type", "file"}, {"device", disk.is_cdrom ? "cdrom" : "disk"}});
  auto own = add(node, "driver", {{"name", "qemu"}, {"type", file.format}});
  for (const auto& [name, value] : driver) own.append_attribute(name).set_value(value.c_str());
  if (disk.iothread != 0 && disk.bus == "virtio")
    own.append_attribute("iothread").set_value(std::to_string(disk.iothread).c_str());
  write_disk_source(node, file);
  add(node, "target", {{"dev", disk.target}, {"bus", disk.bus}});
  if (disk.boot_order != 0) add(node, "boot", {{"order", std::to_string(disk.boot_order)}});
  if (disk.read_only || disk.is_cdrom) add(node, "readonly");
}

void add_feature(xml_node features, const char* name, const Attributes& attributes = {}) {
  if (!features.child(name)) add(features, name, attributes);
}

/// Those of Microsoft's enlightenments that QEMU's documentation (hyperv.txt) recommends to everybody.
void add_hyperv(xml_node features) {
  auto hyperv = features.child("hyperv") ? features.child("hyperv") : add(features, "hyperv");
  if (attribute(hyperv, "mode") == "passthrough") return;
  for (const auto* name : {"relaxed", "vapic", "vpindex", "runtime", "synic", "stimer", "frequencies"})
    add_feature(hyperv, name, {{"state", "on"}});
  add_feature(hyperv, "spinlocks", {{"state", "on"}, {"retries", "8191"}});
}

void add_hypervclock(xml_node clock) {
  if (!clock.find_child_by_attribute("timer", "name", "hypervclock"))
    add(clock, "timer", {{"name", "hypervclock"}, {"present", "yes"}});
}

}  // namespace

const DiskFile& file_for(const std::string& disk, const DiskFiles& files) {
  const auto found = files.find(disk);
  if (found == files.end())
    throw Error(Blame::job, "the domain has a disk " + quote(disk) + ", which the image does not hold");
  return found->second;
}

void write_disks(xml_node devices, const ImageDomain& image, const DiskFiles& files,
                 const Attributes& driver) {
  for (const auto& disk : image.values.disks) {
    write_disk(devices, disk, file_for(disk.file, files), driver);
    write_disk_details(devices.last_child(), disk_element(image.node, disk.element), disk);
  }
  const auto& controllers = image.values.scsi_controllers;
  for (std::size_t i = 0; i < controllers.size(); ++i)
    add(devices, "controller", {{"type", "scsi"}, {"index", std::to_string(i)}, {"model", controllers[i]}});
}

xml_node write_os(xml_node domain, const ImageDomainValues& image, const std::filesystem::path& nvram) {
  const auto& firmware = image.firmware;
  auto os = add(domain, "os");
  if (firmware.is_uefi) os.append_attribute("firmware").set_value("efi");
  auto type = add(os, "type", {{"arch", image.architecture}}, "hvm");
  if (!image.machine.empty()) type.append_attribute("machine").set_value(image.machine.c_str());
  if (!firmware.is_uefi) return os;
  // Unless it is told, libvirt may take firmware that boots signed systems only.
  const auto yes_or_no = [](bool is_wanted) { return is_wanted ? "yes" : "no"; };
  auto features = add(os, "firmware");
  add(features, "feature", {{"enabled", yes_or_no(firmware.secure_boot)}, {"name", "secure-boot"}});
  if (firmware.enrolled_keys)
    add(features, "feature", {{"enabled", yes_or_no(*firmware.enrolled_keys)}, {"name", "enrolled-keys"}});
  if (!nvram.empty()) add(os, "nvram", {}, nvram.string());
  return os;
}

void complete_features(xml_node domain, const ImageDomainValues& image, VirtType virt_type) {
  auto features = domain.child("features") ? domain.child("features") : add(domain, "features");
  const auto* architecture = find_architecture(image.architecture);
  const bool is_pc = architecture != nullptr && architecture->is_x86();
  if (image.firmware.is_uefi && (is_pc || image.architecture == "aarch64")) add_feature(features, "acpi");
  if (!domain.child("clock")) add(domain, "clock", {{"offset", image.is_windows ? "localtime" : "utc"}});
  const bool knows_hyperv = image.is_windows || features.child("hyperv");
  if (!is_pc || virt_type != VirtType::kvm || !knows_hyperv) return;
  add_hyperv(features);
  add_hypervclock(domain.child("clock"));
}

void refuse_other_hypervisors(const xml_node& domain) {
  const auto type = attribute(domain, "type", "kvm");
  const auto kind = trimmed(domain.child("os").child("type").text().as_string("hvm"));
  if (!passes(type, "kvm|qemu|hvf"))
    throw Error(Blame::job, "the domain is for the hypervisor " + quote(type) +
                                ", not for QEMU; convert the VM first (virt-v2v does)");
  if (kind != "hvm")
    throw Error(Blame::job, "the domain is of the kind " + quote(kind) +
                                "; only whole machines ('hvm') can be jobs' VMs");
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
