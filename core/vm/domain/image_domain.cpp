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

/// Only if it is that of the VM's processors; libvirt takes no other.
void read_topology(const xml_node& domain, ImageDomainValues& values) {
  const auto topology = domain.child("cpu").child("topology");
  const auto number = [&](const char* name, Check bounds) {
    const auto text = attribute(topology, name, "1");
    return passes(text, bounds) ? static_cast<unsigned>(*parse_number(text)) : 0U;
  };
  const CpuTopology read{.sockets = number("sockets", "#1-512"),
                         .cores = number("cores", "#1-512"),
                         .threads = number("threads", "#1-8")};
  if (topology && read.sockets * read.cores * read.threads == values.vcpus) values.topology = read;
}

/// Another hypervisor's guests would not boot here.
void check_hypervisor(const xml_node& domain) {
  const auto type = attribute(domain, "type", "kvm");
  const auto kind = trimmed(domain.child("os").child("type").text().as_string("hvm"));
  if (!passes(type, "kvm|qemu|hvf"))
    refuse("is for the hypervisor " + quote(type) + ", not for QEMU; convert the VM first (virt-v2v does)");
  if (kind != "hvm")
    refuse("is of the kind " + quote(kind) + "; only whole machines ('hvm') can be jobs' VMs");
}

/// QEMU's own name for UEFI in one file, as a ROM, is the file's.
bool is_uefi(const xml_node& os) {
  const auto loader = os.child("loader");
  const auto file = lowered(trimmed(loader.text().as_string()));
  const bool names_it = file.find("ovmf") != file.npos || file.find("edk2") != file.npos ||
                        file.find("aavmf") != file.npos || file.find("qemu_efi") != file.npos;
  return attribute(os, "firmware") == "efi" || attribute(loader, "type") == "pflash" || names_it;
}

void read_machine(const xml_node& domain, ImageDomainValues& values) {
  check_hypervisor(domain);
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
  values.uefi = is_uefi(os);
  const bool needs_acpi = values.uefi && is_one_of<2>(values.architecture, {"x86_64", "aarch64"});
  for (const auto* feature : {"acpi", "apic", "pae"}) {
    const bool is_needed = needs_acpi && std::string_view(feature) == "acpi";
    if (domain.child("features").child(feature) || is_needed) values.features.emplace_back(feature);
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
  read_topology(domain, values);
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
