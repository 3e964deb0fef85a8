#pragma once

#include <map>
#include <optional>
#include <string>

namespace sarde {

/// Where a VM gets its address from: libvirt's own DHCP server, or any server on its network.
enum class AddressSource { libvirt, anybody };

/// A reference to one of libvirt's network filters (formatnwfilter.html), which restricts a VM on a bridge to
/// its own addresses. Without a filter, a guest could use gratuitous ARP to take the place of another guest
/// whose host key is not known yet.
struct TrafficFilter {
  std::string name;
  AddressSource source = AddressSource::libvirt;
  std::map<std::string, std::string> parameters = {};
};

/// libvirt's network filters (formatnwfilter.html).
class NetworkFilters {
 public:
  NetworkFilters() = default;
  NetworkFilters(const NetworkFilters&) = delete;
  NetworkFilters& operator=(const NetworkFilters&) = delete;
  virtual ~NetworkFilters() = default;

  [[nodiscard]] virtual bool has(const std::string& name) = 0;

  /// Defines a filter whose name is not yet in use. Throws Error.
  virtual void define(const std::string& filter_xml) = 0;
};

/// The filter for a VM that has no address yet. On a network with libvirt's DHCP server, the VM may only
/// request an address; on other networks, where it may get its address from any server, it is only restricted
/// to its MAC address. libvirt's clean-traffic is used if it exists; otherwise this program's own filters are
/// defined. Throws Error if libvirt does not support network filters.
TrafficFilter filter_without_address(NetworkFilters& filters, AddressSource source);

/// The filter for a VM whose IPv4 address is known: it may use this address only. If the address is not from
/// libvirt, IPv6 is not filtered.
TrafficFilter filter_with_address(NetworkFilters& filters, AddressSource source, const std::string& address);

}  // namespace sarde
