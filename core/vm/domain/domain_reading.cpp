#include "core/vm/domain/domain_reading.hpp"

#include <algorithm>

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

}  // namespace sarde
