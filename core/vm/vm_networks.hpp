#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/vm/job_vm.hpp"

namespace sarde {

/// How a job's VM is reached, and what keeps it to its own address. Calls block until libvirt has answered
/// and throw Error, the host's fault.
class VmNetworks {
 public:
  VmNetworks() = default;
  VmNetworks(const VmNetworks&) = delete;
  VmNetworks& operator=(const VmNetworks&) = delete;
  virtual ~VmNetworks() = default;

  /// Addresses of the domain's first interface, IPv4 before IPv6, without link-local ones: from DHCP leases,
  /// else the guest agent, else the host's ARP table. What the agent says is the guest's word: of that only
  /// the IPv4 addresses count at which this host's neighbour table has the VM's own MAC address. Empty while
  /// none is known.
  virtual std::vector<std::string> addresses(const std::string& name) = 0;

  /// Forwards a free port of 127.0.0.1 to `guest_port` of a domain on QEMU's user-mode network; returns the
  /// port.
  virtual std::uint16_t forward_port(const std::string& name, std::uint16_t guest_port) = 0;

  /// The filter for a VM that starts on this libvirt network and has no address yet; defined if it is not
  /// there. `network`: empty for what is no network of libvirt's. Throws Error where libvirt has no filters.
  virtual TrafficFilter filter_without_address(const std::string& network) = 0;

  /// From now on the running VM, which started with a filter, may use this IPv4 address and no other.
  virtual void hold_to_address(const JobVm& vm, const std::string& address) = 0;
};

}  // namespace sarde
