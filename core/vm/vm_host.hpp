#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "core/vm/qemu_account.hpp"

namespace sarde {

/// The machine that libvirt's VMs run on. Calls block until libvirt has answered and throw Error,
/// the host's fault.
class VmHost {
 public:
  VmHost() = default;
  VmHost(const VmHost&) = delete;
  VmHost& operator=(const VmHost&) = delete;
  virtual ~VmHost() = default;

  /// Whether libvirt offers KVM for guests of this architecture (libvirt's name).
  virtual bool offers_kvm(const std::string& architecture) = 0;

  /// The account that QEMU runs as; nothing if QEMU runs on another machine.
  virtual std::optional<QemuAccount> qemu_account() = 0;

  /// The versions of libvirt and QEMU, for people and to be compared.
  virtual std::string software() = 0;

  /// The QEMU that VMs of this architecture (libvirt's name) run in.
  virtual std::filesystem::path emulator(const std::string& architecture) = 0;

  /// Whether QEMU supports a network on a stream socket (since 7.2).
  virtual bool has_stream_network() = 0;

  /// Whether it is this machine, so that this program can access the VMs' files.
  virtual bool is_local() = 0;
};

}  // namespace sarde
