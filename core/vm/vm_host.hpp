#pragma once

#include <optional>
#include <string>

#include "core/vm/qemu_account.hpp"

namespace sarde {

/// What the machine that libvirt's VMs run on can do. Calls block until libvirt has answered and throw Error,
/// the host's fault.
class VmHost {
 public:
  VmHost() = default;
  VmHost(const VmHost&) = delete;
  VmHost& operator=(const VmHost&) = delete;
  virtual ~VmHost() = default;

  /// Does libvirt offer KVM for guests of this architecture (libvirt's name)?
  virtual bool offers_kvm(const std::string& architecture) = 0;

  /// Who QEMU runs as; nothing if it runs on another machine.
  virtual std::optional<QemuAccount> qemu_account() = 0;

  /// Can QEMU have a network from a stream socket (since 7.2)?
  virtual bool has_stream_network() = 0;

  /// Does it run on this machine, so that its files are ours?
  virtual bool is_local() = 0;
};

}  // namespace sarde
