#include "core/vm/domain/source_disks.hpp"

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/vm/domain/vocabulary.hpp"
#include "core/vm/domain/xml_text.hpp"

namespace sarde {

using pugi::xml_document;
using pugi::xml_node;

namespace {

/// As qemu-img takes it; where it is not known how, as libvirt has it.
std::string address_of(const xml_node& source) {
  const auto protocol = attribute(source, "protocol");
  const auto name = attribute(source, "name");
  const auto host = source.child("host");
  if (protocol == "rbd") return "rbd:" + name;
  auto address = protocol + "://" + attribute(host, "name", "localhost");
  if (host.attribute("port")) address += ":" + attribute(host, "port");
  return address + (name.starts_with('/') ? "" : "/") + name;
}

SourceDisk read(const xml_node& disk, std::size_t element) {
  const auto source = disk.child("source");
  const auto type = attribute(disk, "type", "file");
  SourceDisk read{.element = element,
                  .target = attribute(disk.child("target"), "dev"),
                  .device = attribute(disk, "device", "disk"),
                  .type = type,
                  .format = attribute(disk.child("driver"), "type"),
                  .read_only = !disk.child("readonly").empty(),
                  .is_empty = source.attributes().empty() && !source.first_child()};
  if (type == "file") read.path = attribute(source, "file");
  if (type == "block") read.path = attribute(source, "dev");
  if (type == "volume")
    read.volume = {.pool = attribute(source, "pool"), .volume = attribute(source, "volume")};
  if (type == "network") read.address = address_of(source);
  if (type == "file" || type == "block") read.is_empty = read.path.empty();
  return read;
}

std::string usual_machine(const Architecture& architecture) {
  if (architecture.is_x86()) return "q35";
  if (architecture.name == "s390x") return "s390-ccw-virtio";
  if (architecture.name.starts_with("ppc64")) return "pseries";
  return "virt";
}

}  // namespace

std::vector<SourceDisk> source_disks(std::string_view xml) {
  xml_document document;
  parse_domain_text(document, xml, "a VM's definition", XmlOrigin::own);
  std::vector<SourceDisk> disks;
  for (const auto& disk : document.document_element().child("devices").children("disk"))
    disks.push_back(read(disk, disks.size()));
  return disks;
}

std::string domain_of_disks(const BareVm& vm) {
  const auto* architecture = find_architecture(vm.architecture);
  if (architecture == nullptr)
    throw Error(Blame::job, "the architecture " + quote(vm.architecture) +
                                " is none that QEMU has (libvirt's names: x86_64, aarch64, …)");
  xml_document document;
  auto domain = add(document, "domain", {{"type", "kvm"}});
  add(domain, "name", {}, vm.name);
  add(domain, "memory", {{"unit", "MiB"}}, std::to_string(vm.memory_mib));
  add(domain, "vcpu", {}, std::to_string(vm.vcpus));
  auto os = add(domain, "os");
  if (vm.uefi) os.append_attribute("firmware").set_value("efi");
  add(os, "type", {{"arch", vm.architecture}, {"machine", usual_machine(*architecture)}}, "hvm");
  add(os, "boot", {{"dev", "hd"}});
  auto features = add(domain, "features");
  if (architecture->is_x86() || vm.architecture == "aarch64") add(features, "acpi");
  if (architecture->is_x86()) add(features, "apic");
  add(domain, "clock", {{"offset", "utc"}});
  auto devices = add(domain, "devices");
  for (std::size_t i = 0; i < vm.disks.size(); ++i) {
    auto disk = add(devices, "disk", {{"type", "file"}, {"device", "disk"}});
    add(disk, "driver", {{"name", "qemu"}, {"type", vm.disks[i].format}});
    add(disk, "source", {{"file", vm.disks[i].file}});
    add(disk, "target", {{"dev", disk_target("virtio", i)}, {"bus", "virtio"}});
  }
  add(add(devices, "interface", {{"type", "user"}}), "model", {{"type", "virtio"}});
  add(devices, "serial", {{"type", "pty"}});
  auto console = add(devices, "console", {{"type", "pty"}});
  add(console, "target", {{"type", "serial"}, {"port", "0"}});
  return xml_text(document);
}

}  // namespace sarde
