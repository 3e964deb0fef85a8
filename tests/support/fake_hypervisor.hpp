#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>

#include "core/foundation/error.hpp"
#include "core/vm/hypervisor.hpp"

namespace sarde::testing {

/// A hypervisor in memory: domains are names that run or do not. `step` is told of each call before it is
/// made.
class FakeHypervisor final : public Hypervisor {
 public:
  std::function<void(const std::string& call)> step = [](const std::string&) {};
  std::set<std::string> running;
  std::set<std::string> defined;
  std::vector<DomainFiles> files;
  std::vector<std::string> known_addresses;
  std::string held_to;
  std::vector<JobDomain> jobs;
  std::optional<std::uint64_t> written;
  bool refuses_to_destroy = false;

  void start(const JobVm& vm) override {
    step("start");
    running.insert(vm.name.text());
  }

  SavedState save(const JobVm& /*vm*/, const std::filesystem::path& state,
                  const std::map<std::filesystem::path, std::filesystem::path>& /*overlays*/) override {
    step("save");
    return {.file = state, .shape = "shape"};
  }

  void restore(const JobVm& vm, const SavedState& /*state*/) override {
    step("restore");
    running.insert(vm.name.text());
  }

  void leave_disk_server(const std::string& /*name*/,
                         const std::vector<std::filesystem::path>& /*files*/) override {
    step("leave_disk_server");
  }

  std::string software() override {
    step("software");
    return "libvirt 9.0.0, QEMU 7.2.0";
  }

  std::filesystem::path emulator(const std::string& /*architecture*/) override {
    step("emulator");
    return "/usr/bin/true";
  }

  DomainState state(const std::string& name) override {
    step("state");
    return running.contains(name) ? DomainState::running : DomainState::gone;
  }

  void destroy(const std::string& name) override {
    step("destroy");
    if (refuses_to_destroy) throw Error("libvirt is away");
    running.erase(name);
  }

  std::vector<std::string> addresses(const std::string& /*name*/) override {
    step("addresses");
    return known_addresses;
  }

  std::uint16_t forward_port(const std::string& /*name*/, std::uint16_t guest_port) override {
    step("forward_port");
    return guest_port;
  }

  std::vector<JobDomain> list_jobs() override {
    step("list_jobs");
    return jobs;
  }

  std::string definition(const std::string& name) override {
    step("definition");
    return name;
  }

  std::string define(const std::string& /*domain_xml*/) override {
    step("define");
    return "uuid";
  }

  void undefine(const std::string& name) override {
    step("undefine");
    defined.erase(name);
  }

  std::map<std::string, KnownDomain> domains() override {
    step("domains");
    std::map<std::string, KnownDomain> states;
    for (const auto& name : defined) states[name] = {};
    for (const auto& name : running) states[name] = {.uuid = "", .is_running = true};
    return states;
  }

  std::filesystem::path volume_path(const VolumeName& volume) override {
    step("volume_path");
    return "/pools/" + volume.pool + "/" + volume.volume;
  }

  std::vector<DomainFiles> domain_files() override {
    step("domain_files");
    return files;
  }

  GuestFileSystems copy_disks(
      const std::string& /*name*/, const std::vector<DiskCopy>& /*copies*/,
      const std::function<void(std::uint64_t, std::uint64_t)>& /*progress*/) override {
    step("copy_disks");
    return GuestFileSystems::running;
  }

  bool offers_kvm(const std::string& /*architecture*/) override {
    step("offers_kvm");
    return false;
  }

  std::optional<std::uint64_t> written_bytes(const std::string& /*name*/) override {
    step("written_bytes");
    return written;
  }

  bool authorize_key(const std::string& /*name*/, const std::string& /*user*/,
                     const std::string& /*public_key*/) override {
    step("authorize_key");
    return true;
  }

  std::optional<QemuAccount> qemu_account() override {
    step("qemu_account");
    return std::nullopt;
  }

  bool has_stream_network() override {
    step("has_stream_network");
    return false;
  }

  bool has_network(const std::string&) override { return true; }

  void require_network(const std::string& /*name*/) override { step("require_network"); }

  TrafficFilter filter_without_address(const std::string& /*network*/) override {
    step("filter_without_address");
    return {.name = "f"};
  }

  void hold_to_address(const JobVm& /*vm*/, const std::string& address) override {
    step("hold_to_address");
    held_to = address;
  }

  bool is_local() override {
    step("is_local");
    return true;
  }
};

}  // namespace sarde::testing
