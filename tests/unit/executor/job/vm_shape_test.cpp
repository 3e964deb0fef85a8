#include "executor/job/vm_shape.hpp"

#include <doctest/doctest.h>

#include "core/vm/domain/job_domain.hpp"
#include "tests/support/check_error.hpp"

using namespace sarde;
using sarde::testing::check_error;

namespace {

JobVm small_vm() {
  JobVm vm{.name = VmName::of_job("1", "d"),
           .image_xml =
               "<domain type='kvm'><memory unit='MiB'>256</memory><vcpu>1</vcpu><os><type "
               "arch='x86_64'>hvm</type></os><clock offset='localtime'/></domain>",
           .job_id = "1"};
  return vm;
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("vm shape: a share leaves the host a tenth of its memory, at least a GiB") {
  CHECK(memory_for_vms(20480) == 20480 - 2048);
  CHECK(memory_for_vms(4096) == 3072);
  CHECK(memory_for_vms(512) == 0);
  CHECK(share_of({.memory_mib = 4096, .processors = 8}, 3).memory_mib == 1024 - qemu_overhead_mib);
  CHECK(share_of({.memory_mib = 4096, .processors = 8}, 3).processors == 2);
  CHECK(share_of({.memory_mib = 512, .processors = 1}, 9).memory_mib == 64);
  CHECK(share_of({.memory_mib = 512, .processors = 1}, 0).processors == 1);
}

TEST_CASE("vm shape: nested virtualisation is hidden from jobs that were not given it") {
  auto vm = small_vm();
  vm.virt_type = VirtType::kvm;
  CHECK(has(build_job_domain(vm).xml, "policy=\"disable\" name=\"vmx\""));
  vm.nested = true;
  CHECK_FALSE(has(build_job_domain(vm).xml, "vmx"));
}

TEST_CASE("vm shape: a hardware clock in local time gets the job's time zone") {
  auto vm = small_vm();
  apply_shape({.timezone = "Europe/Berlin"}, vm);
  CHECK(has(build_job_domain(vm).xml, "offset=\"timezone\" timezone=\"Europe/Berlin\""));
  check_error(Blame::job, "is not the name of a time zone", [&] { apply_shape({.timezone = "a'b"}, vm); });
}

TEST_CASE("vm shape: a share is no more than what a VM may have") {
  auto vm = small_vm();
  const ShapeRules rules{.memory_mib = {.is_share = true},
                         .vcpus = {.is_share = true},
                         .host = {.memory_mib = 20480, .processors = 8},
                         .concurrency = 2,
                         .max_memory_mib = 4096,
                         .max_vcpus = 3};
  apply_shape(rules, vm);
  CHECK((vm.memory_mib == 4096U && vm.vcpus == 3U));
}
