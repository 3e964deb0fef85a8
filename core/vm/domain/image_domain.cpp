#include "core/vm/domain/image_domain.hpp"

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/vm/domain/disk_reading.hpp"
#include "core/vm/domain/image_parts.hpp"
#include "core/vm/domain/vocabulary.hpp"
#include "core/vm/domain/xml_text.hpp"

namespace sarde {

using pugi::xml_node;

namespace {

[[noreturn]] void refuse(const std::string& why) {
  throw Error(Blame::job, "the image's domain " + why);
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
  const auto at_start = attribute(domain.child("vcpu"), "current");
  if (at_start.empty()) return;
  if (!passes(at_start, "#1-" + std::to_string(values.vcpus)))
    refuse("asks for " + quote(at_start) + " of " + vcpus + " processors");
  values.vcpus_at_start = static_cast<unsigned>(*parse_number(at_start));
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

/// The name of a firmware's file, in lower case.
std::string firmware_file(const std::string& path) {
  const auto text = lowered(trimmed(path));
  return text.substr(text.rfind('/') + 1);
}

/// Distributions name the firmware that checks signatures `secboot`, and variables with keys in them `ms`
/// (Debian: OVMF_VARS_4M.ms.fd), `secboot` (Fedora: OVMF_VARS.secboot.fd) or `enrolled`.
bool names_keys(const std::string& file) {
  return file.find(".ms") != file.npos || file.find("secboot") != file.npos ||
         file.find("enrolled") != file.npos;
}

/// QEMU's own name for UEFI in one file, as a ROM, is the file's.
bool is_uefi(const xml_node& os) {
  const auto loader = os.child("loader");
  const auto file = lowered(trimmed(loader.text().as_string()));
  const bool names_it = file.find("ovmf") != file.npos || file.find("edk2") != file.npos ||
                        file.find("aavmf") != file.npos || file.find("qemu_efi") != file.npos;
  return attribute(os, "firmware") == "efi" || attribute(loader, "type") == "pflash" || names_it;
}

/// What the image asked libvirt for, or what libvirt or somebody chose for it.
Firmware read_firmware(const xml_node& os) {
  Firmware firmware{.is_uefi = is_uefi(os)};
  const auto loader = os.child("loader");
  firmware.secure_boot = attribute(loader, "secure") == "yes";
  if (!attribute(os.child("nvram"), "template").empty())
    firmware.enrolled_keys = names_keys(firmware_file(attribute(os.child("nvram"), "template")));
  for (const auto& feature : os.child("firmware").children("feature")) {
    const bool is_wanted = attribute(feature, "enabled") == "yes";
    if (attribute(feature, "name") == "secure-boot") firmware.secure_boot = is_wanted;
    if (attribute(feature, "name") == "enrolled-keys") firmware.enrolled_keys = is_wanted;
  }
  // Keys without a check of signatures are no firmware that anybody ships.
  if (!firmware.secure_boot) firmware.enrolled_keys = false;
  return firmware;
}

const Architecture& read_machine(const xml_node& domain, ImageDomainValues& values) {
  refuse_other_hypervisors(domain);
  const auto os = domain.child("os");
  const auto type = os.child("type");
  const auto name = attribute(type, "arch", "x86_64");
  const auto* architecture = find_architecture(name);
  if (architecture == nullptr)
    refuse("is for the architecture " + quote(name) + ", which QEMU does not have");
  values.architecture = name;
  if (type.attribute("machine")) {
    const auto machine = attribute(type, "machine");
    const auto family = machine_family(machine, *architecture);
    if (!family) refuse("has the machine type " + quote(machine) + ", which jobs' VMs cannot have");
    values.machine = *family;
  }
  values.firmware = read_firmware(os);
  return *architecture;
}

/// libosinfo.org: http://microsoft.com/win/11
bool is_windows(const xml_node& domain) {
  for (const auto& info : domain.child("metadata").children())
    for (const auto& os : info.children())
      if (attribute(os, "id").starts_with("http://microsoft.com/")) return true;
  return false;
}

void read_interface(const xml_node& domain, ImageDomainValues& values) {
  const auto from = domain.child("devices").child("interface");
  values.interface.type = attribute(from, "type", "user");
  values.interface.source = attribute(from.child("source"), values.interface.type.c_str());
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
  const auto& architecture = read_machine(domain, values);
  const auto cpu = domain.child("cpu");
  const auto model = trimmed(cpu.child("model").text().as_string());
  if (attribute(cpu, "mode") == "custom" && is_known_cpu_model(model)) values.cpu_model = model;
  values.is_windows = is_windows(domain);
  values.disks = read_image_disks(domain, {.architecture = &architecture, .family = values.machine});
  const auto said = trimmed(domain.child("iothreads").text().as_string());
  const auto threads = passes(said, "#1-64") ? *parse_number(said) : 0;
  for (auto& disk : values.disks)
    if (disk.iothread > threads) disk.iothread = 0;
  values.scsi_controllers = read_scsi_controllers(domain);
  read_interface(domain, values);
  return values;
}

}  // namespace sarde
