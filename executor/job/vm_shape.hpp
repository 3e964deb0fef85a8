#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/foundation/reporter.hpp"
#include "core/vm/job_vm.hpp"
#include "core/vm/vm_host.hpp"

namespace sarde {

/// The administrator's settings for the size and type of jobs' VMs.
struct ShapeRules {
  std::optional<VirtType> virt_type = {};            ///< nothing: KVM if the host has it
  std::optional<std::uint64_t> memory_mib = {};      ///< nothing: the image's value
  std::optional<unsigned> vcpus = {};                ///< nothing: the image's value
  std::optional<std::uint64_t> max_memory_mib = {};  ///< nothing: unlimited
  std::optional<unsigned> max_vcpus = {};            ///< nothing: unlimited
  std::vector<std::string> allowed_devices = {};     ///< copied from the image's domain
};

/// Gives the VM the size and limits in the rules.
void apply_shape(const ShapeRules& rules, JobVm& vm);

/// KVM if libvirt offers it for this architecture (libvirt's name) and the processor has it, else emulation.
/// Throws Error.
VirtType virt_type_of_host(const std::string& architecture, VmHost& host);

/// KVM if the host has it for this architecture (libvirt's name), otherwise emulation, which is reported.
/// Throws Error.
VirtType choose_virt_type(const ShapeRules& rules, const std::string& architecture, VmHost& host,
                          Reporter& reporter);

}  // namespace sarde
