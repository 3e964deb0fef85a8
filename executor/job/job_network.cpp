#include "executor/job/job_network.hpp"

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

JobNetwork choose_network(const NetworkRules& rules, bool image_is_user) {
  const auto& name = rules.wanted;
  // By default, an image cannot choose the network. passt's has no neighbours; where there is none, libvirt's
  // own comes next, whose ports can be isolated.
  constexpr auto of_libvirt = "default";
  if (name.empty() && !rules.is_session) {
    if (rules.is_limited) return {.mode = NetworkMode::named, .name = of_libvirt};
    return {.mode = NetworkMode::user, .is_user = true, .wants_passt = true, .otherwise = of_libvirt};
  }
  if (name.empty() || name == "user" || name == "passt" || name == "slirp")
    return {.mode = NetworkMode::user, .is_user = true, .wants_passt = name != "slirp"};
  if (name == "image")
    return {.mode = NetworkMode::image, .is_user = image_is_user, .wants_passt = image_is_user};
  constexpr std::string_view bridge = "bridge:";
  if (name.starts_with(bridge)) return {.mode = NetworkMode::bridge, .name = name.substr(bridge.size())};
  return {.mode = NetworkMode::named, .name = name};
}

void JobNetworks::check() const {
  const auto chosen = choose(true);
  if (chosen.mode == NetworkMode::named) parts_.hypervisor().require_network(chosen.name);
  if (chosen.mode == NetworkMode::bridge && parts_.hypervisor().is_local()) require_bridge(chosen.name);
  if (!chosen.otherwise.empty() && find_program("passt", parts_.environment).empty())
    parts_.hypervisor().require_network(chosen.otherwise);
}

void JobNetworks::open(JobNetwork& network, const std::string& image_xml, const std::filesystem::path& folder,
                       std::uint16_t guest_port) {
  if (network.wants_passt) {
    try {
      open_passt(network, folder, guest_port);
    } catch (const Error& error) {
      do_without_passt(network, error.what());
    }
  }
  if (network.is_user) return;
  try {
    const auto name = network.mode == NetworkMode::named    ? network.name
                      : network.mode == NetworkMode::bridge ? ""  // not libvirt's own
                                                            : image_network_name(image_xml);
    network.filter = parts_.hypervisor().filter_without_address(name);
  } catch (const Error& error) {
    warn_of_no_filter(error.what());
  }
}

void JobNetworks::open_passt(JobNetwork& network, const std::filesystem::path& folder,
                             std::uint16_t guest_port) {
  try {
    network.passt = start_passt_in(folder, guest_port);
  } catch (const Error& error) {
    throw NoPasst(error.what());
  }
}

PasstNetwork JobNetworks::start_passt_in(const std::filesystem::path& folder, std::uint16_t guest_port) {
  auto& host = parts_.hypervisor();
  const auto account = host.qemu_account();
  if (!account || !host.has_stream_network())
    throw Error("QEMU is older than 7.2, or runs on another machine");
  return start_passt(
      {.folder = folder, .guest_port = guest_port, .qemu = *account, .group = QemuAccess(account).group()},
      parts_.environment, parts_.clock, parts_.cancellation);
}

void JobNetworks::do_without_passt(JobNetwork& network, const std::string& why) {
  if (parts_.rules.wanted == "passt") throw Error("set up the VM's network with passt: " + why);
  if (network.otherwise.empty()) {
    network.wants_passt = false;
    network.passt.reset();
    parts_.reporter.warn(
        "WARNING: the VM can reach services that listen on this host's 127.0.0.1 (as 10.0.2.2), because "
        "passt cannot provide its network: " +
        why);
    return;
  }
  within("passt cannot provide the VM's network (" + why + "), and libvirt's cannot either",
         [&] { parts_.hypervisor().require_network(network.otherwise); });
  parts_.reporter.say("The VM is on libvirt's network " + quote(network.otherwise) +
                      ", because passt cannot provide one of its own: " + why);
  network = {.mode = NetworkMode::named, .name = network.otherwise};
}

void JobNetworks::warn_of_no_filter(const std::string& why) {
  parts_.reporter.warn(
      "WARNING: libvirt cannot filter the VM's traffic, so another VM on this network could answer in its "
      "place: " +
      why);
}

}  // namespace sarde
