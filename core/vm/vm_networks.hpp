#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/vm/job_vm.hpp"

namespace sarde {

/// How to reach a job's VM, and how to restrict it to its own address. Calls block until libvirt has answered
/// and throw Error, the host's fault.
class VmNetworks {
 public:
  VmNetworks() = default;
  VmNetworks(const VmNetworks&) = delete;
  VmNetworks& operator=(const VmNetworks&) = delete;
  virtual ~VmNetworks() = default;

  /// Whether libvirt has a network of this name, active or not.
  virtual bool has_network(const std::string& name) = 0;

  /// Throws Error, with what to do, if libvirt has no network of this name, or if it is not active.
  virtual void require_network(const std::string& name) = 0;

  /// Addresses of the domain's first interface, IPv4 before IPv6, without link-local ones: from DHCP leases,
  /// else from the guest agent, else from the host's ARP table. The guest controls what its agent reports, so
  /// only IPv4 addresses are used for which this host's neighbour table has the VM's own MAC address. Empty
  /// as long as no address is known.
  virtual std::vector<std::string> addresses(const std::string& name) = 0;

  /// Forwards a free port of 127.0.0.1 to `guest_port` of a domain on QEMU's user-mode network; returns the
  /// port.
  virtual std::uint16_t forward_port(const std::string& name, std::uint16_t guest_port) = 0;

  /// The filter for a VM that starts on this libvirt network and has no address yet. The filter is defined if
  /// it does not exist. `network` is empty if the network is not libvirt's. Throws Error if libvirt does not
  /// support filters.
  virtual TrafficFilter filter_without_address(const std::string& network) = 0;

  /// Restricts the running VM, which was started with a filter, to this IPv4 address.
  virtual void hold_to_address(const JobVm& vm, const std::string& address) = 0;
};

}  // namespace sarde
