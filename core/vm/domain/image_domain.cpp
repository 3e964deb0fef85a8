#include "core/vm/domain/image_domain.hpp"

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/vm/domain/disk_reading.hpp"
#include "core/vm/domain/vocabulary.hpp"
#include "core/vm/domain/xml_text.hpp"

namespace sarde {

using pugi::xml_node;

namespace {

[[noreturn]] void refuse(const std::string& why) {
  throw Error(Blame::job, "the image's domain " + why);
}

std::string word_or(const std::string& word, Check words, const std::string& otherwise) {
  return passes(word, words) ? word : otherwise;
}

void read_size(const xml_node& domain, ImageDomainValues& values) {
  const auto memory = domain.child("memory");
  const std::string amount = memory.text().as_string();
  const auto unit = attribute(memory, "unit", "KiB");
  const auto kib = memory_in_kib(amount, unit);
  if (!kib) refuse("asks for " + quote(amount) + " " + quote(unit) + " of memory");
  values.memory_kib = *kib;
  const std::string vcpus = domain.child("vcpu").text().as_string("1");
  if (!passes(trimmed(vcpus), "#1-512")) refuse("asks for " + quote(vcpus) + " processors");
  values.vcpus = static_cast<unsigned>(*parse_number(trimmed(vcpus)));
}

void read_machine(const xml_node& domain, ImageDomainValues& values) {
  const auto os = domain.child("os");
  const auto type = os.child("type");
  const auto architecture = attribute(type, "arch", "x86_64");
  const auto known = known_architecture(architecture);
  if (!known) refuse("is for the architecture " + quote(architecture) + ", which QEMU does not have");
  values.architecture = *known;
  if (type.attribute("machine")) {
    const auto machine = attribute(type, "machine");
    const auto family = machine_family(machine);
    if (!family) refuse("has the machine type " + quote(machine) + ", which jobs' VMs cannot have");
    values.machine = *family;
  }
  values.uefi = attribute(os, "firmware") == "efi" || attribute(os.child("loader"), "type") == "pflash";
  for (const auto* feature : {"acpi", "apic", "pae"}) {
    if (domain.child("features").child(feature)) values.features.emplace_back(feature);
  }
}

void read_interface(const xml_node& domain, ImageDomainValues& values) {
  const auto from = domain.child("devices").child("interface");
  values.interface.type = attribute(from, "type", "user");
  values.interface.source = attribute(from.child("source"), values.interface.type.c_str());
  values.interface.model = word_or(attribute(from.child("model"), "type"),
                                   "virtio|e1000|e1000e|rtl8139|virtio-transitional", "virtio");
}

}  // namespace

std::string image_network_name(std::string_view xml) {
  const auto interface = read_image_domain(xml).interface;
  return interface.type == "network" ? interface.source : "";
}

ImageDomainValues read_image_domain(std::string_view xml) {
  pugi::xml_document document;
  parse_domain_text(document, xml, "the image's domain");
  const auto domain = document.document_element();
  ImageDomainValues values;
  read_size(domain, values);
  read_machine(domain, values);
  const auto cpu = domain.child("cpu");
  const auto model = trimmed(cpu.child("model").text().as_string());
  if (attribute(cpu, "mode") == "custom" && is_known_cpu_model(model)) values.cpu_model = model;
  values.clock_offset = word_or(attribute(domain.child("clock"), "offset"), "utc|localtime", "utc");
  values.disks = read_image_disks(domain);
  values.scsi_controllers = read_scsi_controllers(domain);
  read_interface(domain, values);
  const auto video = attribute(domain.child("devices").child("video").child("model"), "type");
  if (!video.empty() && video != "none") values.video = word_or(video, "vga|virtio|cirrus|bochs|qxl", "vga");
  return values;
}

}  // namespace sarde
