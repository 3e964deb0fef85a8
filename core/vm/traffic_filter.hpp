#pragma once

#include <map>
#include <optional>
#include <string>

namespace sarde {

/// Where a VM gets its address: from libvirt's own DHCP server, or from anybody on its network.
enum class AddressSource { libvirt, anybody };

/// What lets a VM on a bridge send under its own addresses only: a reference to one of libvirt's network
/// filters (formatnwfilter.html). Without it one guest's gratuitous ARP makes the host take it for another
/// one, whose host key nobody knows yet.
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

  /// Makes a filter; there must be none of its name. Throws Error.
  virtual void define(const std::string& filter_xml) = 0;
};

/// While the VM has no address yet. On a network whose DHCP server is libvirt's it may do nothing but ask
/// that for one; elsewhere, where it may have its address from anywhere, only its MAC address is held to.
/// libvirt's own clean-traffic is taken if it is there, else filters of ours are defined. Throws Error where
/// libvirt has no network filters.
TrafficFilter filter_without_address(NetworkFilters& filters, AddressSource source);

/// Once its IPv4 address is known: that one and no other. Where the address is not from libvirt IPv6 passes.
TrafficFilter filter_with_address(NetworkFilters& filters, AddressSource source, const std::string& address);

}  // namespace sarde
