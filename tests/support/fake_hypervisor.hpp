#pragma once

#include <map>
#include <set>
#include <string>

#include "core/foundation/error.hpp"
#include "core/vm/hypervisor.hpp"

namespace sarde::testing {

/// A hypervisor in memory: domains are names that run or do not.
class FakeHypervisor final : public Hypervisor {
 public:
  std::set<std::string> running;
  std::set<std::string> defined;
  std::vector<DomainFiles> files;
  std::vector<std::string> known_addresses;
  std::string held_to;
  std::vector<JobDomain> jobs;
  std::optional<std::uint64_t> written;
  bool refuses_to_destroy = false;

  void start(const JobVm& vm) override { running.insert(vm.name.text()); }

  DomainState state(const std::string& name) override {
    return running.contains(name) ? DomainState::running : DomainState::gone;
  }

  void destroy(const std::string& name) override {
    if (refuses_to_destroy) throw Error("libvirt is away");
    running.erase(name);
  }

  std::vector<std::string> addresses(const std::string& /*name*/) override { return known_addresses; }

  std::uint16_t forward_port(const std::string& /*name*/, std::uint16_t guest_port) override {
    return guest_port;
  }

  std::vector<JobDomain> list_jobs() override { return jobs; }

  std::string definition(const std::string& name) override { return name; }

  std::string define(const std::string& /*domain_xml*/) override { return "uuid"; }

  void undefine(const std::string& name) override { defined.erase(name); }

  std::map<std::string, KnownDomain> domains() override {
    std::map<std::string, KnownDomain> states;
    for (const auto& name : defined) states[name] = {};
    for (const auto& name : running) states[name] = {.uuid = "", .is_running = true};
    return states;
  }

  std::vector<DomainFiles> domain_files() override { return files; }

  GuestFileSystems copy_disks(
      const std::string& /*name*/, const std::vector<DiskCopy>& /*copies*/,
      const std::function<void(std::uint64_t, std::uint64_t)>& /*progress*/) override {
    return GuestFileSystems::running;
  }

  bool offers_kvm(const std::string& /*architecture*/) override { return false; }

  std::optional<std::uint64_t> written_bytes(const std::string& /*name*/) override { return written; }

  std::optional<QemuAccount> qemu_account() override { return std::nullopt; }

  bool has_stream_network() override { return false; }

  TrafficFilter filter_without_address(const std::string& /*network*/) override { return {.name = "f"}; }

  void hold_to_address(const JobVm& /*vm*/, const std::string& address) override { held_to = address; }

  bool is_local() override { return true; }
};

}  // namespace sarde::testing
