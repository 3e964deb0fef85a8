#include "executor/job/vm_shape.hpp"

#include "core/system/files.hpp"
#include "core/vm/domain/libvirt_answers.hpp"

namespace sarde {

void apply_shape(const ShapeRules& rules, JobVm& vm) {
  vm.memory_mib = rules.memory_mib;
  vm.vcpus = rules.vcpus;
  vm.max_memory_mib = rules.max_memory_mib;
  vm.max_vcpus = rules.max_vcpus;
  vm.allowed_devices = rules.allowed_devices;
}

VirtType virt_type_of_host(const std::string& architecture, VmHost& host) {
  const auto cpuinfo = read_proc_file("/proc/cpuinfo").value_or("");
  return usable_virt_type(host.offers_kvm(architecture), architecture, cpuinfo);
}

VirtType choose_virt_type(const ShapeRules& rules, const std::string& architecture, VmHost& host,
                          Reporter& reporter) {
  if (rules.virt_type) return *rules.virt_type;
  const auto chosen = virt_type_of_host(architecture, host);
  if (chosen == VirtType::qemu)
    reporter.say("This host has no hardware virtualisation for " + architecture +
                 "; the VM is emulated, which is slow");
  return chosen;
}

}  // namespace sarde
