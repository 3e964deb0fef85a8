#include "executor/job/job_network.hpp"

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/vm/domain/image_domain.hpp"

namespace sarde {

void require_bridge(const std::string& name) {
  std::error_code missing;
  const bool is_name = !name.empty() && name.find('/') == std::string::npos;
  if (!is_name || !std::filesystem::exists("/sys/class/net/" + name + "/bridge", missing))
    throw Error("this host has no bridge " + quote(name) +
                "; 'ip link show type bridge' lists those that it has (network)");
}

JobNetwork JobNetworks::choose(bool image_is_user) const {
  auto name = parts_.wanted;
  // The ports of libvirt's own network can be isolated, and its firewall rules apply. By default, an image
  // cannot choose the network.
  if (name.empty()) name = parts_.is_session ? "user" : "default";
  if (name == "user" || name == "passt" || name == "slirp")
    return {.mode = NetworkMode::user, .is_user = true};
  if (name == "image") return {.mode = NetworkMode::image, .is_user = image_is_user};
  constexpr std::string_view bridge = "bridge:";
  if (name.starts_with(bridge)) return {.mode = NetworkMode::bridge, .name = name.substr(bridge.size())};
  return {.mode = NetworkMode::named, .name = name};
}

void JobNetworks::check() const {
  const auto chosen = choose(true);
  if (chosen.mode == NetworkMode::named) parts_.hypervisor().require_network(chosen.name);
  if (chosen.mode == NetworkMode::bridge && parts_.hypervisor().is_local()) require_bridge(chosen.name);
}

void JobNetworks::open(JobNetwork& network, const std::string& image_xml, const std::filesystem::path& folder,
                       std::uint16_t guest_port) {
  if (network.is_user) {
    network.passt = start_passt_in(folder, guest_port);
    return;
  }
  try {
    const auto name = network.mode == NetworkMode::named    ? network.name
                      : network.mode == NetworkMode::bridge ? ""  // not libvirt's own
                                                            : image_network_name(image_xml);
    network.filter = parts_.hypervisor().filter_without_address(name);
  } catch (const Error& error) {
    warn_of_no_filter(error.what());
  }
}

/// Nothing if QEMU's built-in network is requested, or is used because passt is not available.
std::optional<PasstNetwork> JobNetworks::start_passt_in(const std::filesystem::path& folder,
                                                        std::uint16_t guest_port) {
  if (parts_.wanted == "slirp") return std::nullopt;
  try {
    auto& host = parts_.hypervisor();
    const auto account = host.qemu_account();
    if (!account || !host.has_stream_network())
      throw Error("QEMU is older than 7.2, or runs on another machine");
    return start_passt(
        {.folder = folder, .guest_port = guest_port, .qemu = *account, .group = QemuAccess(account).group()},
        parts_.environment, parts_.clock, parts_.cancellation);
  } catch (const Error& error) {
    if (parts_.wanted == "passt")
      throw Error(std::string("set up the VM's network with passt: ") + error.what());
    parts_.reporter.warn(
        std::string("WARNING: the VM can reach services that listen on this host's 127.0.0.1 (as 10.0.2.2), "
                    "because passt cannot provide its network: ") +
        error.what());
    return std::nullopt;
  }
}

void JobNetworks::warn_of_no_filter(const std::string& why) {
  parts_.reporter.warn(
      "WARNING: libvirt cannot filter the VM's traffic, so another VM on this network could answer in its "
      "place: " +
      why);
}

}  // namespace sarde
