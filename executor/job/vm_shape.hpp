#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/foundation/reporter.hpp"
#include "core/system/host_size.hpp"
#include "core/vm/job_vm.hpp"
#include "core/vm/vm_host.hpp"

namespace sarde {

/// The administrator's settings for the size and type of jobs' VMs.
struct ShapeRules {
  /// A number, or what a share of the host is.
  struct Size {
    bool is_share = false;
    std::optional<std::uint64_t> number = {};
  };

  std::optional<VirtType> virt_type = {};  ///< nothing: KVM if the host has it
  Size memory_mib = {};                    ///< nothing: the image's value
  Size vcpus = {};                         ///< nothing: the image's value
  HostSize host = {};
  unsigned concurrency = 1;                         ///< jobs that share the host
  std::optional<std::uint64_t> disk_size = {};      ///< bytes; nothing: the image's
  std::optional<std::uint64_t> scratch_disk = {};   ///< bytes; nothing: no such disk
  std::optional<std::uint64_t> max_disk_size = {};  ///< of both
  std::optional<std::uint64_t> network_limit = {};  ///< bytes per second
  std::optional<std::uint64_t> disk_limit = {};     ///< bytes per second
  bool nested = false;
  std::string timezone = {};                         ///< empty: the image's
  std::optional<std::uint64_t> max_memory_mib = {};  ///< nothing: unlimited
  std::optional<unsigned> max_vcpus = {};            ///< nothing: unlimited
  std::vector<std::string> allowed_devices = {};     ///< copied from the image's domain
};

/// What QEMU needs beside its guest's memory, in MiB.
inline constexpr std::uint64_t qemu_overhead_mib = 128;

/// What the VMs of a host with this much memory may have together, in MiB: all but a tenth, and at least a
/// GiB less.
std::uint64_t memory_for_vms(std::uint64_t total_mib);

/// What each of `concurrency` jobs may have: its part of memory_for_vms(), without QEMU's own, and of the
/// processors, at least one.
HostSize share_of(const HostSize& host, unsigned concurrency);

/// Gives the VM the size and limits in the rules. Throws Error, the job's fault, for a time zone that is none
/// and for disks larger than allowed.
void apply_shape(const ShapeRules& rules, JobVm& vm);

/// Throws Error, the host's fault, with what to do, if KVM's VMs of this architecture cannot run VMs.
void check_nested(const std::string& architecture);

/// KVM if libvirt offers it for this architecture (libvirt's name) and the processor has it, else emulation.
/// Throws Error.
VirtType virt_type_of_host(const std::string& architecture, VmHost& host);

/// KVM if the host has it for this architecture (libvirt's name), otherwise emulation, which is reported.
/// Throws Error.
VirtType choose_virt_type(const ShapeRules& rules, const std::string& architecture, VmHost& host,
                          Reporter& reporter);

}  // namespace sarde
