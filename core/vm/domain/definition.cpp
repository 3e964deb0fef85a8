#include "core/vm/domain/definition.hpp"

#include <algorithm>
#include <set>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/vm/domain/carried.hpp"
#include "core/vm/domain/disk_reading.hpp"
#include "core/vm/domain/image_domain.hpp"
#include "core/vm/domain/image_parts.hpp"
#include "core/vm/domain/vocabulary.hpp"
#include "core/vm/domain/xml_text.hpp"

namespace sarde {

using pugi::xml_document;
using pugi::xml_node;

namespace {

class DefinitionBuilder {
 public:
  DefinitionBuilder(const ImageDomain& image, const NewVm& vm)
      : image_(image.node), values_(image.values), vm_(vm) {}

  BuiltDomain build() {
    domain_ = add(document_, "domain", {{"type", vm_.virt_type == VirtType::kvm ? "kvm" : "qemu"}});
    add(domain_, "name", {}, vm_.name);
    add(domain_, "memory", {{"unit", "KiB"}}, std::to_string(values_.memory_kib));
    auto processors = add(domain_, "vcpu", {}, std::to_string(values_.vcpus));
    if (values_.vcpus_at_start)
      processors.append_attribute("current").set_value(std::to_string(*values_.vcpus_at_start).c_str());
    machine();
    auto devices = add(domain_, "devices");
    write_disks(devices, {.node = image_, .values = values_}, vm_.files);
    add_empty_drives(devices);
    auto left_out = copy_carried(image_, domain_, {.takes = Takes::definition});
    complete_features(domain_, values_, vm_.virt_type);
    processor_model(left_out);
    for (auto card : devices.children("interface")) replace_network(card);
    for (auto rng : devices.children("rng"))
      if (!rng.child("backend")) add(rng, "backend", {{"model", "random"}}, "/dev/urandom");
    for (const auto* seen : {"name", "memory", "vcpu", "os", "uuid", "currentMemory", "devices/emulator"})
      left_out.erase(seen);
    if (!has_other_disks()) left_out.erase("devices/disk");
    return {.xml = xml_text(document_), .left_out = {left_out.begin(), left_out.end()}};
  }

 private:
  void machine() {
    auto os = write_os(domain_, values_, vm_.nvram);
    if (disks_have_boot_order(values_)) return;
    std::set<std::string> devices;
    for (const auto& boot : image_.child("os").children("boot")) {
      const auto device = attribute(boot, "dev");
      if (passes(device, "hd|cdrom|network|fd") && devices.insert(device).second)
        add(os, "boot", {{"dev", device}});
    }
  }

  /// A card on a network that is not here could not start; nor could one whose network has an odd name, which
  /// was not copied.
  void replace_network(xml_node card) const {
    const auto network = attribute(card.child("source"), "network");
    if (attribute(card, "type") != "network" || (!network.empty() && !vm_.unknown_networks.contains(network)))
      return;
    card.attribute("type").set_value("user");
    for (const auto* name : {"source", "mtu"}) card.remove_child(name);
  }

  /// CD drives without a CD.
  void add_empty_drives(xml_node devices) {
    std::set<std::string> taken;
    for (const auto& disk : values_.disks) taken.insert(disk.target);
    constexpr std::size_t most = 4;
    std::size_t drives = 0;
    for (const auto& disk : image_.child("devices").children("disk")) {
      if (!is_empty_drive(disk) || ++drives > most) continue;
      const auto target = disk.child("target");
      const auto bus =
          disk_bus({.bus = attribute(target, "bus"), .target = attribute(target, "dev"), .is_cdrom = true},
                   {.architecture = find_architecture(values_.architecture), .family = values_.machine});
      std::size_t index = 0;
      constexpr std::size_t letters = 26;
      while (index < letters && !taken.insert(disk_target(bus, index)).second) ++index;
      if (index == letters) continue;
      auto node = add(devices, "disk", {{"type", "file"}, {"device", "cdrom"}});
      add(node, "target", {{"dev", disk_target(bus, index)}, {"bus", bus}});
      add(node, "readonly");
    }
  }

  static bool is_empty_drive(const xml_node& disk) {
    const auto source = disk.child("source");
    return attribute(disk, "device") == "cdrom" && source.attributes().empty() && !source.first_child();
  }

  /// Are there disks that are neither files of the image nor empty drives?
  [[nodiscard]] bool has_other_disks() const {
    const auto in_files = file_disks(image_);
    const auto others = image_.child("devices").children("disk");
    return std::ranges::any_of(others, [&](const xml_node& disk) {
      return !is_empty_drive(disk) && std::ranges::find(in_files, disk) == in_files.end();
    });
  }

  /// A processor of a model that nobody knows is the default one; one of the host's is there with KVM only.
  void processor_model(std::set<std::string>& left_out) {
    auto cpu = domain_.child("cpu");
    if (vm_.virt_type == VirtType::qemu) {
      if (attribute(cpu, "mode") == "host-passthrough") emulate(cpu);
      auto features = domain_.child("features");
      if (attribute(features.child("gic"), "version") == "host") features.remove_child("gic");
    }
    if (attribute(cpu, "mode") != "custom") {
      left_out.erase("cpu/model");
    } else if (values_.cpu_model.empty()) {
      domain_.remove_child(cpu);
    } else {
      left_out.erase("cpu/model");
      cpu.prepend_child("model").text().set(values_.cpu_model.c_str());
      cpu.child("model").append_attribute("fallback").set_value("allow");
    }
  }

  void emulate(xml_node cpu) const {
    for (const auto* name : {"mode", "match", "check", "migratable"}) cpu.remove_attribute(name);
    while (cpu.remove_child("feature") || cpu.remove_child("cache")) {
    }
    if (find_architecture(values_.architecture)->has_maximum_cpu)
      cpu.append_attribute("mode").set_value("maximum");
  }

  xml_node image_;
  const ImageDomainValues& values_;
  const NewVm& vm_;
  xml_document document_;
  xml_node domain_;
};

/// The namespace that an element is in.
std::string namespace_of(const xml_node& node) {
  const std::string name = node.name();
  const auto colon = name.find(':');
  const auto key = colon == std::string::npos ? std::string("xmlns") : "xmlns:" + name.substr(0, colon);
  for (auto at = node; at; at = at.parent())
    if (const auto declared = at.attribute(key.c_str())) return declared.value();
  return "";
}

void remove_our_metadata(xml_node domain) {
  auto metadata = domain.child("metadata");
  for (auto child = metadata.first_child(); child;) {
    const auto next = child.next_sibling();
    if (namespace_of(child) == job_metadata_uri) metadata.remove_child(child);
    child = next;
  }
}

/// Sets the attribute, whether it is there or not.
void set(xml_node node, const char* name, const std::string& value) {
  auto attribute = node.attribute(name) ? node.attribute(name) : node.append_attribute(name);
  attribute.set_value(value.c_str());
}

/// Without what belongs to one VM only.
void remove_identity(xml_node domain) {
  domain.remove_child("uuid");
  remove_our_metadata(domain);
  // The file is one VM's; the template says what kind of variables they are.
  auto os = domain.child("os");
  if (auto nvram = os.child("nvram")) {
    const auto kind = attribute(nvram, "template");
    os.remove_child(nvram);
    if (!kind.empty()) add(os, "nvram", {{"template", kind}});
  }
  auto devices = domain.child("devices");
  for (auto interface : devices.children("interface")) interface.remove_child("mac");
  for (auto disk : devices.children("disk")) {
    while (disk.remove_child("backingStore")) {
    }
    auto source = disk.child("source");
    while (source.remove_child("seclabel")) {
    }
  }
}

}  // namespace

BuiltDomain domain_to_define(std::string_view image_xml, const NewVm& vm) {
  const auto values = read_image_domain(image_xml);
  xml_document document;
  parse_domain_text(document, image_xml, "the image's domain");
  return DefinitionBuilder({.node = document.document_element(), .values = values}, vm).build();
}

std::string domain_of_copy(std::string_view xml, const NewVm& vm) {
  xml_document document;
  parse_domain_text(document, xml, "the VM's definition", XmlOrigin::own);
  auto domain = document.document_element();
  remove_identity(domain);
  if (!vm.nvram.empty()) {
    auto os = domain.child("os");
    auto nvram = os.child("nvram") ? os.child("nvram") : add(os, "nvram");
    nvram.text().set(vm.nvram.c_str());
  }
  if (!domain.child("name")) domain.prepend_child("name");
  domain.child("name").text().set(vm.name.c_str());
  for (auto disk : file_disks(domain)) {
    const auto& file = file_for(attribute(disk.child("source"), "file"), vm.files);
    disk.remove_child("source");
    write_disk_source(disk, file);
    auto driver = disk.child("driver") ? disk.child("driver") : disk.prepend_child("driver");
    if (!driver.attribute("name")) driver.append_attribute("name").set_value("qemu");
    set(driver, "type", file.format);
  }
  return xml_text(document);
}

namespace {

/// The disk as a file of the image, whatever it was.
void write_exported(xml_node disk, const DiskInImage& exported) {
  if (attribute(disk, "type") != "file") {
    disk.remove_child("source");
    disk.append_child("source");
  }
  set(disk, "type", "file");
  set(disk.child("source"), "file", exported.file);
  if (!disk.child("driver")) add(disk, "driver", {{"name", "qemu"}});
  set(disk.child("driver"), "type", exported.format);
}

void export_disks(xml_node devices, const ExportedDisks& disks) {
  std::size_t element = 0;
  for (auto disk = devices.child("disk"); disk; ++element) {
    const auto next = disk.next_sibling("disk");
    if (const auto kept = disks.kept.find(element); kept != disks.kept.end())
      write_exported(disk, kept->second);
    if (disks.emptied.contains(element)) disk.remove_child("source");
    if (disks.dropped.contains(element)) devices.remove_child(disk);
    disk = next;
  }
}

}  // namespace

std::string domain_for_export(std::string_view xml, const ExportedDisks& disks) {
  xml_document document;
  parse_domain_text(document, xml, "the VM's definition", XmlOrigin::own);
  auto domain = document.document_element();
  remove_identity(domain);
  while (domain.remove_child("seclabel")) {
  }
  auto devices = domain.child("devices");
  for (auto graphics : devices.children("graphics")) graphics.remove_attribute("passwd");
  for (auto watchdog = devices.child("watchdog"); watchdog;) {
    const auto next = watchdog.next_sibling("watchdog");
    if (attribute(watchdog, "model") == "itco") devices.remove_child(watchdog);
    watchdog = next;
  }
  export_disks(devices, disks);
  return xml_text(document);
}

}  // namespace sarde
