#include "executor/job/vm_shape.hpp"

#include <algorithm>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/system/files.hpp"
#include "core/vm/domain/libvirt_answers.hpp"

namespace sarde {

namespace {

void check_disk_size(const char* option, const std::optional<std::uint64_t>& size, const ShapeRules& rules) {
  if (size && rules.max_disk_size && *size > *rules.max_disk_size)
    throw Error(Blame::job, std::string(option) + " is " + size_text(*size) + ", more than max-disk-size, " +
                                size_text(*rules.max_disk_size));
}

/// IANA's names (Theory file of the time zone database) and POSIX's simple ones (UTC-3).
void check_timezone(const std::string& zone) {
  constexpr std::size_t longest = 64;
  constexpr auto characters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-/";
  if (zone.size() > longest || zone.find_first_not_of(characters) != std::string::npos)
    throw Error(Blame::job,
                "timezone: " + quote(zone) + " is not the name of a time zone such as Europe/Berlin");
}

}  // namespace

std::uint64_t memory_for_vms(std::uint64_t total_mib) {
  constexpr std::uint64_t least_for_host = 1024;
  return total_mib - std::min(total_mib, std::max(least_for_host, total_mib / 10));
}

HostSize share_of(const HostSize& host, unsigned concurrency) {
  const auto jobs = std::max(concurrency, 1U);
  const auto part = memory_for_vms(host.memory_mib) / jobs;
  constexpr std::uint64_t least = 64;
  return {.memory_mib = std::max(least, part - std::min(part, qemu_overhead_mib)),
          .processors = std::max(1U, host.processors / jobs)};
}

void apply_shape(const ShapeRules& rules, JobVm& vm) {
  const auto share = share_of(rules.host, rules.concurrency);
  vm.memory_mib = rules.memory_mib.number;
  if (rules.memory_mib.is_share)
    vm.memory_mib = std::min(share.memory_mib, rules.max_memory_mib.value_or(share.memory_mib));
  if (rules.vcpus.is_share) vm.vcpus = std::min(share.processors, rules.max_vcpus.value_or(share.processors));
  if (rules.vcpus.number) vm.vcpus = static_cast<unsigned>(*rules.vcpus.number);
  check_disk_size("disk-size", rules.disk_size, rules);
  check_disk_size("scratch-disk", rules.scratch_disk, rules);
  check_timezone(rules.timezone);
  vm.timezone = rules.timezone;
  vm.nested = rules.nested;
  vm.network_limit = rules.network_limit;
  vm.disk_limit = rules.disk_limit;
  vm.max_memory_mib = rules.max_memory_mib;
  vm.max_vcpus = rules.max_vcpus;
  vm.allowed_devices = rules.allowed_devices;
}

void check_nested(const std::string& architecture) {
  if (architecture != "x86_64" && architecture != "i686") return;
  for (const auto* module : {"kvm_intel", "kvm_amd"}) {
    const auto allowed =
        read_proc_file("/sys/module/" + std::string(module) + "/parameters/nested").value_or("");
    if (allowed.starts_with('Y') || allowed.starts_with('1')) return;
  }
  throw Error(
      "nested is set, but this host's KVM does not let VMs run VMs: load its module with nested=1 ('echo "
      "options kvm_intel nested=1 >/etc/modprobe.d/kvm.conf', or kvm_amd; then reboot)");
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
