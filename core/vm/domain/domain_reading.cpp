#include "core/vm/domain/domain_reading.hpp"

#include <algorithm>
#include <set>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/vm/domain/disk_reading.hpp"
#include "core/vm/domain/source_disks.hpp"
#include "core/vm/domain/xml_text.hpp"

namespace sarde {

using pugi::xml_document;
using pugi::xml_node;

namespace {

DomainDisk disk_of(const xml_node& node) {
  return {.file = attribute(node.child("source"), "file"),
          .format = attribute(node.child("driver"), "type"),
          .device = attribute(node, "device", "disk"),
          .target = attribute(node.child("target"), "dev"),
          .read_only = !node.child("readonly").empty()};
}

/// The files of a disk, and of what it rests on.
void collect_files(const xml_node& disk, std::vector<std::filesystem::path>& files) {
  for (auto at = disk; at; at = at.child("backingStore")) {
    for (const auto* name : {"file", "dev"}) {
      const auto file = attribute(at.child("source"), name);
      if (!file.empty()) files.emplace_back(file);
    }
  }
}

}  // namespace

DomainSummary parse_domain(std::string_view xml, const std::string& what, DomainOrigin origin) {
  xml_document document;
  parse_domain_text(document, xml, what, origin == DomainOrigin::image ? XmlOrigin::foreign : XmlOrigin::own);
  const auto domain = document.document_element();
  DomainSummary result{.name = domain.child("name").text().as_string(),
                       .architecture = attribute(domain.child("os").child("type"), "arch", "x86_64"),
                       .disks = {}};
  for (const auto& disk : file_disks(domain)) result.disks.push_back(disk_of(disk));
  const auto nvram = domain.child("os").child("nvram");
  result.uefi_variables =
      nvram.child("source") ? attribute(nvram.child("source"), "file") : trimmed(nvram.text().as_string());
  const auto interface = domain.child("devices").child("interface");
  result.has_user_network = !interface || attribute(interface, "type") == "user";
  return result;
}

std::vector<std::filesystem::path> files_of_domain(std::string_view xml) {
  xml_document document;
  parse_domain_text(document, xml, "a VM's definition", XmlOrigin::own);
  const auto domain = document.document_element();
  std::vector<std::filesystem::path> files;
  for (const auto& disk : domain.child("devices").children("disk")) collect_files(disk, files);
  return files;
}

std::vector<std::filesystem::path> written_files_of_domain(std::string_view xml) {
  std::vector<std::filesystem::path> files;
  for (const auto& disk : source_disks(xml))
    if (!disk.read_only && disk.device == "disk" && !disk.path.empty()) files.emplace_back(disk.path);
  return files;
}

std::vector<VolumeName> volumes_of_domain(std::string_view xml) {
  xml_document document;
  parse_domain_text(document, xml, "a VM's definition", XmlOrigin::own);
  std::vector<VolumeName> volumes;
  for (const auto& disk : document.document_element().child("devices").children("disk")) {
    const auto source = disk.child("source");
    if (source.attribute("volume"))
      volumes.push_back({attribute(source, "pool"), attribute(source, "volume")});
  }
  return volumes;
}

std::vector<std::string> networks_of_domain(std::string_view xml) {
  xml_document document;
  parse_domain_text(document, xml, "a VM's definition", XmlOrigin::own);
  std::vector<std::string> networks;
  for (const auto& card : document.document_element().child("devices").children("interface"))
    if (attribute(card, "type") == "network") networks.push_back(attribute(card.child("source"), "network"));
  return networks;
}

bool has_tpm(std::string_view image_xml) {
  xml_document document;
  parse_domain_text(document, image_xml, "the image's domain");
  return !document.document_element().child("devices").child("tpm").empty();
}

std::vector<std::string> disk_targets(std::string_view xml) {
  xml_document document;
  parse_domain_text(document, xml, "a VM's definition", XmlOrigin::own);
  std::vector<std::string> targets;
  for (const auto& disk : document.document_element().child("devices").children("disk"))
    targets.push_back(attribute(disk.child("target"), "dev"));
  return targets;
}

std::string backup_order(const std::vector<DiskCopy>& copies, const std::vector<std::string>& all_targets) {
  xml_document document;
  auto disks = add(add(document, "domainbackup"), "disks");
  for (const auto& target : all_targets) {
    const auto copy = std::ranges::find(copies, target, &DiskCopy::device);
    if (copy == copies.end()) {
      add(disks, "disk", {{"name", target}, {"backup", "no"}});
      continue;
    }
    auto disk = add(disks, "disk", {{"name", target}, {"backup", "yes"}, {"type", "file"}});
    add(disk, "target", {{"file", copy->file.string()}});
    add(disk, "driver", {{"type", copy->format}});
  }
  return xml_text(document);
}

std::string snapshot_order(const std::map<std::filesystem::path, std::filesystem::path>& next,
                           std::string_view domain_xml) {
  xml_document domain;
  parse_domain_text(domain, domain_xml, "a VM's definition", XmlOrigin::own);
  xml_document document;
  auto disks = add(add(document, "domainsnapshot"), "disks");
  std::size_t found = 0;
  for (const auto& disk : domain.document_element().child("devices").children("disk")) {
    const auto target = attribute(disk.child("target"), "dev");
    const auto file = next.find(attribute(disk.child("source"), "file"));
    if (file == next.end()) {
      add(disks, "disk", {{"name", target}, {"snapshot", "no"}});
      continue;
    }
    ++found;
    auto other = add(disks, "disk", {{"name", target}, {"snapshot", "external"}, {"type", "file"}});
    add(other, "driver", {{"type", "qcow2"}});
    add(other, "source", {{"file", file->second.string()}});
  }
  if (found != next.size()) throw Error("the VM does not write to the files that it was started with");
  return xml_text(document);
}

namespace {

/// Removes what differs between two VMs of one kind.
void forget_host(xml_node node) {
  static const std::set<std::string_view> of_host{"name",     "uuid",     "title", "description",
                                                  "metadata", "source",   "alias", "log",
                                                  "seclabel", "resource", "mac",   "backingStore"};
  for (auto child = node.first_child(); child;) {
    const auto next = child.next_sibling();
    const std::string_view name = child.name();
    if (of_host.contains(name) || name.starts_with("qemu:")) {
      node.remove_child(child);
    } else {
      forget_host(child);
    }
    child = next;
  }
}

}  // namespace

std::string guest_shape(std::string_view domain_xml) {
  xml_document document;
  parse_domain_text(document, domain_xml, "a VM's definition", XmlOrigin::own);
  auto domain = document.document_element();
  domain.remove_attribute("id");
  if (auto number = domain.child("genid")) number.remove_children();
  if (auto variables = domain.child("os").child("nvram")) variables.remove_children();
  for (auto console : domain.child("devices").children("console")) console.remove_attribute("tty");
  forget_host(domain);
  return xml_text(document);
}

}  // namespace sarde
