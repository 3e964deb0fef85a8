#include "core/vm/domain/libvirt_answers.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <map>
#include <sstream>

#include "core/foundation/error.hpp"
#include "core/foundation/json_reading.hpp"
#include "core/foundation/text.hpp"
#include "core/vm/domain/xml_text.hpp"

namespace sarde {

using pugi::xml_document;

std::optional<std::uint16_t> port_in_usernet(std::string_view answer, std::uint16_t guest_port) {
  // "  TCP[HOST_FORWARD]  17       127.0.0.1 46549       10.0.2.15    22     0     0"
  for (const auto& line : split(answer, '\n')) {
    std::istringstream words(line);
    std::string kind;
    std::string fd;
    std::string from;
    std::string from_port;
    std::string to;
    std::string to_port;
    words >> kind >> fd >> from >> from_port >> to >> to_port;
    if (kind != "TCP[HOST_FORWARD]" || to_port != std::to_string(guest_port)) continue;
    const auto port = parse_number(from_port);
    if (port && *port > 0 && *port <= 65535) return static_cast<std::uint16_t>(*port);
  }
  return std::nullopt;
}

std::string stream_in_network(std::string_view answer, std::string_view name) {
  // " \\ passt0: index=0,type=stream,unix:/run/qemu.sock"
  const auto start = fmt::format(" {}: ", name);
  constexpr std::string_view type = ",type=stream,";
  for (const auto& line : split(answer, '\n')) {
    const auto at = line.find(type);
    if (at != std::string::npos && line.find(start) < at) return trimmed(line.substr(at + type.size()));
  }
  return "";
}

std::optional<std::uint64_t> written_in_block_nodes(std::string_view answer) {
  // A backing file's own node may be open for writing, as root may open anything; the format's node above it
  // is read-only then. So a file counts if every node on it is open for writing.
  std::map<std::string, std::optional<std::uint64_t>> files;  // nothing: only read
  const auto note = [&](const nlohmann::json& parsed) {
    for (const auto& node : parsed.at("return")) {
      const auto [file, is_new] = files.try_emplace(node.value("file", ""), std::uint64_t{0});
      if (node.value("ro", true)) {
        file->second.reset();
      } else if (file->second && node.value("drv", "") == "file") {
        file->second = node.at("image").at("actual-size").get<std::uint64_t>();
      }
    }
  };
  try {
    read_json(answer, "QEMU's answer", Blame::host, note);
  } catch (const Error&) {
    return std::nullopt;
  }
  std::uint64_t bytes = 0;
  for (const auto& [file, size] : files) bytes += size.value_or(0);
  return bytes;
}

std::optional<QemuAccount> account_in_capabilities(std::string_view xml) {
  xml_document document;
  if (!document.load_buffer(xml.data(), xml.size())) return std::nullopt;
  for (const auto& model : document.document_element().child("host").children("secmodel")) {
    if (model.child("model").text().as_string() != std::string_view("dac")) continue;
    // "+64055:+64055"
    const auto parts = split(model.child("baselabel").text().as_string(), ':');
    if (parts.size() != 2 || !parts[0].starts_with('+') || !parts[1].starts_with('+')) continue;
    const auto uid = parse_number(std::string_view(parts[0]).substr(1));
    const auto gid = parse_number(std::string_view(parts[1]).substr(1));
    if (uid && gid) return QemuAccount{.uid = static_cast<uid_t>(*uid), .gid = static_cast<gid_t>(*gid)};
  }
  return std::nullopt;
}

std::string emulator_in_capabilities(std::string_view xml) {
  xml_document document;
  if (!document.load_buffer(xml.data(), xml.size())) return "";
  return document.document_element().child("path").text().as_string();
}

std::string missing_on_host(std::string_view libvirt_message) {
  const auto says = [&](std::string_view part) {
    return libvirt_message.find(part) != std::string_view::npos;
  };
  if (says("firmware") && (says("Unable to find") || says("compatible")))
    return "install UEFI firmware for this architecture (Debian: ovmf, qemu-efi-aarch64); for an image with "
           "Secure "
           "Boot, one that has it";
  const bool is_about_tpm = says("TPM version") || says("TPM emulator") || says("swtpm");
  if (is_about_tpm && (says("not supported") || says("Unable to find") || says("not found")))
    return "install swtpm and swtpm-tools, for the image's VM has a TPM";
  return "";
}

bool has_ipv4_dhcp(std::string_view network_xml) {
  xml_document document;
  if (!document.load_buffer(network_xml.data(), network_xml.size())) return false;
  const auto addresses = document.document_element().children("ip");
  return std::ranges::any_of(addresses, [](const pugi::xml_node& ip) {
    return attribute(ip, "family", "ipv4") == "ipv4" && ip.child("dhcp");
  });
}

JobDomain job_in_metadata(std::string_view element) {
  xml_document document;
  if (!document.load_buffer(element.data(), element.size())) return {};
  const auto node = document.document_element();
  JobDomain job;
  job.folder = attribute(node, "folder");
  if (node.attribute("expires"))
    job.expires = Moment{.unix_seconds = node.attribute("expires").as_llong(),
                         .boot = attribute(node, "boot"),
                         .uptime = node.attribute("expires-uptime").as_llong()};
  return job;
}

VirtType usable_virt_type(bool kvm_offered, const std::string& architecture, std::string_view cpuinfo) {
  if (!kvm_offered) return VirtType::qemu;
  if (architecture != "x86_64" && architecture != "i686") return VirtType::kvm;
  for (const auto& line : split(cpuinfo, '\n')) {
    if (!line.starts_with("flags")) continue;
    const auto flags = split(line, ' ');
    const bool able =
        std::ranges::any_of(flags, [](const std::string& flag) { return flag == "vmx" || flag == "svm"; });
    return able ? VirtType::kvm : VirtType::qemu;
  }
  return VirtType::qemu;
}

}  // namespace sarde
