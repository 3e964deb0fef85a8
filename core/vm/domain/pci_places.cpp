#include "core/vm/domain/pci_places.hpp"

#include <cstdint>
#include <optional>
#include <set>
#include <tuple>

#include "core/foundation/text.hpp"
#include "core/vm/domain/vocabulary.hpp"

namespace sarde {

using pugi::xml_node;

namespace {

std::optional<std::uint64_t> number(const xml_node& node, const char* name, Check bounds,
                                    const std::string& otherwise) {
  const auto text = attribute(node, name, otherwise);
  if (!passes(text, bounds)) return std::nullopt;
  return text.starts_with("0x") ? parse_hex(std::string_view(text).substr(2)) : parse_number(text);
}

class Places {
 public:
  /// A bridge, or a root, which is bus 0.
  bool add_bridge(const xml_node& bridge) {
    const auto index = number(bridge, "index", "#0-63", "");
    const auto model = attribute(bridge, "model");
    if (!index || !buses_.insert(*index).second) return false;
    if (passes(model, "pci-root|pcie-root")) return *index == 0;
    if (*index == 0 || !passes(model, "pcie-root-port|pcie-to-pci-bridge|pci-bridge|dmi-to-pci-bridge"))
      return false;
    const auto chassis = attribute(bridge.child("target"), "chassis");
    if (!chassis.empty() && !chassis_.insert(chassis).second) return false;
    return add_device(bridge, *index);
  }

  /// `bus_behind`: what a bridge leads to, which comes after the bus that it is on; 0 for a card.
  bool add_device(const xml_node& device, std::uint64_t bus_behind) {
    const auto address = device.child("address");
    const auto domain = number(address, "domain", "#0-0", "0");
    const auto bus = number(address, "bus", "#0-63", "0");
    const auto slot = number(address, "slot", "#0-31", "0");
    const auto function = number(address, "function", "#0-7", "0");
    if (attribute(address, "type") != "pci" || !domain || !bus || !slot || !function) return false;
    if (bus_behind != 0 && *bus >= bus_behind) return false;
    if (*bus == 0 && *slot == 0) return false;  // the host bridge's
    needed_.insert(*bus);
    return taken_.emplace(*bus, *slot, *function).second;
  }

  /// Bus 0 is always there. Buses are numbered without gaps, or libvirt would fill them.
  [[nodiscard]] bool are_complete() const {
    for (const auto bus : needed_)
      if (bus != 0 && !buses_.contains(bus)) return false;
    return buses_.empty() || *buses_.rbegin() < buses_.size() + (buses_.contains(0) ? 0 : 1);
  }

 private:
  std::set<std::uint64_t> buses_;
  std::set<std::uint64_t> needed_;
  std::set<std::string> chassis_;
  std::set<std::tuple<std::uint64_t, std::uint64_t, std::uint64_t>> taken_;
};

}  // namespace

bool pci_places_can_be_kept(const xml_node& domain) {
  Places places;
  const auto devices = domain.child("devices");
  if (!places.add_device(devices.child("interface"), 0)) return false;
  for (const auto& controller : devices.children("controller"))
    if (attribute(controller, "type") == "pci" && !places.add_bridge(controller)) return false;
  return places.are_complete();
}

}  // namespace sarde
