#include "core/vm/domain/disk_reading.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/vm/domain/vocabulary.hpp"

namespace sarde {

using pugi::xml_node;

namespace {

constexpr std::size_t most_disks_on_a_bus = 26;  ///< vda to vdz
constexpr std::size_t most_ide_disks = 4;        ///< of the one controller that QEMU's machines have
constexpr std::size_t most_scsi_controllers = 8;
constexpr std::uint64_t largest_boot_order = 1000;

[[noreturn]] void refuse(const std::string& why) {
  throw Error(Blame::job, "the image's domain has " + why);
}

/// Where the disk stands in the image's boot order; 0: nowhere.
std::uint64_t boot_order_of(const xml_node& disk) {
  const auto boot = disk.child("boot");
  if (!boot) return 0;
  const auto text = attribute(boot, "order");
  const auto order = parse_number(text);
  if (!order || *order == 0 || *order > largest_boot_order)
    refuse("a disk with the boot order " + quote(text) + ", which is not between 1 and " +
           std::to_string(largest_boot_order));
  return *order;
}

class DiskReader {
 public:
  explicit DiskReader(const MachineKind& machine) : machine_(machine) {}

  void read(const xml_node& node, std::size_t element) {
    const auto target = attribute(node.child("target"), "dev");
    const auto said = attribute(node.child("target"), "bus");
    const bool is_cdrom = attribute(node, "device", "disk") == "cdrom";
    ImageDisk disk{.element = element,
                   .file = attribute(node.child("source"), "file"),
                   .format = attribute(node.child("driver"), "type"),
                   .is_cdrom = is_cdrom,
                   .bus = disk_bus({.bus = said, .target = target, .is_cdrom = is_cdrom}, machine_),
                   .iothread = iothread_of(node),
                   .target = {},
                   .read_only = !node.child("readonly").empty()};
    disk.is_bus_of_image = said.empty() || said == disk.bus;
    if (!files_.insert(disk.file).second) refuse("two disks in one file, " + quote(disk.file));
    if (!target.empty() && !targets_.insert(target).second)
      refuse("two disks at one target, " + quote(target));
    auto& number = numbers_[disk_target(disk.bus, 0)];
    const auto most = disk.bus == "ide" ? most_ide_disks : most_disks_on_a_bus;
    if (number == most)
      refuse("more than " + std::to_string(most) + " disks on one kind of bus, " + disk.bus);
    disk.target = disk_target(disk.bus, number++);
    if (const auto order = boot_order_of(node); order != 0 && !orders_.emplace(order, disks_.size()).second)
      refuse("two disks with the boot order " + std::to_string(order));
    disks_.push_back(std::move(disk));
  }

  std::vector<ImageDisk> take() {
    unsigned next = 1;
    for (const auto& [order, index] : orders_) disks_[index].boot_order = next++;
    return std::move(disks_);
  }

 private:
  /// libvirt refuses a number that the domain does not have; which thread it is makes no difference.
  static unsigned iothread_of(const xml_node& disk) {
    const auto text = attribute(disk.child("driver"), "iothread");
    return passes(text, "#1-64") ? static_cast<unsigned>(*parse_number(text)) : 0;
  }

  MachineKind machine_;
  std::vector<ImageDisk> disks_;
  std::set<std::string> files_;
  std::set<std::string> targets_;
  std::map<std::string, std::size_t> numbers_;   ///< of disks, by the first target's name
  std::map<std::uint64_t, std::size_t> orders_;  ///< boot order → index
};

}  // namespace

std::vector<xml_node> file_disks(const xml_node& domain) {
  std::vector<xml_node> disks;
  for (const auto& disk : domain.child("devices").children("disk")) {
    const bool is_disk = passes(attribute(disk, "device", "disk"), "disk|cdrom");
    if (attribute(disk, "type") == "file" && is_disk && !attribute(disk.child("source"), "file").empty())
      disks.push_back(disk);
  }
  return disks;
}

std::vector<ImageDisk> read_image_disks(const xml_node& domain, const MachineKind& machine) {
  DiskReader reader(machine);
  const auto in_files = file_disks(domain);
  std::size_t element = 0;
  auto next = in_files.begin();
  for (const auto& disk : domain.child("devices").children("disk")) {
    if (next != in_files.end() && disk == *next) {
      reader.read(disk, element);
      ++next;
    }
    ++element;
  }
  return reader.take();
}

std::vector<std::string> read_scsi_controllers(const xml_node& domain) {
  std::vector<std::string> models;
  for (const auto& controller : domain.child("devices").children("controller")) {
    if (attribute(controller, "type") != "scsi") continue;
    if (models.size() == most_scsi_controllers)
      refuse("more than " + std::to_string(most_scsi_controllers) + " SCSI controllers");
    const auto model = attribute(controller, "model");
    constexpr Check known =
        "virtio-scsi|virtio-transitional|virtio-non-transitional|lsilogic|lsisas1068|lsisas1078|vmpvscsi|"
        "am53c974|dc390|ibmvscsi|ncr53c90";
    models.push_back(passes(model, known) ? model : "virtio-scsi");
  }
  return models;
}

}  // namespace sarde
