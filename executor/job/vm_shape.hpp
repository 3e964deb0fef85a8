#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/foundation/reporter.hpp"
#include "core/vm/job_vm.hpp"
#include "core/vm/vm_host.hpp"

namespace sarde {

/// What the administrator says about the size and kind of jobs' VMs.
struct ShapeRules {
  std::optional<VirtType> virt_type = {};            ///< nothing: as the host can
  std::optional<std::uint64_t> memory_mib = {};      ///< nothing: as the image has it
  std::optional<unsigned> vcpus = {};                ///< nothing: as the image has it
  std::optional<std::uint64_t> max_memory_mib = {};  ///< nothing: unlimited
  std::optional<unsigned> max_vcpus = {};            ///< nothing: unlimited
  std::vector<std::string> allowed_devices = {};     ///< taken over from the image's domain
};

/// Gives the VM the size that the rules say.
void apply_shape(const ShapeRules& rules, JobVm& vm);

/// KVM if the host has it for this architecture (libvirt's name), else emulation, which is said. Throws
/// Error.
VirtType choose_virt_type(const ShapeRules& rules, const std::string& architecture, VmHost& host,
                          Reporter& reporter);

}  // namespace sarde
