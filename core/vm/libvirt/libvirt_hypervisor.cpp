#include <algorithm>
#include <chrono>
#include <memory>
#include <pwd.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include <libvirt/libvirt-qemu.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/vm/domain/domain_reading.hpp"
#include "core/vm/domain/job_domain.hpp"
#include "core/vm/domain/libvirt_answers.hpp"
#include "core/vm/hypervisor_loader.hpp"
#include "core/vm/libvirt/disk_copying.hpp"
#include "core/vm/libvirt/guest_addresses.hpp"
#include "core/vm/libvirt/libvirt_errors.hpp"
#include "core/vm/libvirt/libvirt_filters.hpp"
#include "core/vm/libvirt/machine_state.hpp"
#include "core/vm/libvirt/served_disks.hpp"

namespace sarde {

namespace {

std::string uuid_of(const Domain& domain) {
  std::array<char, VIR_UUID_STRING_BUFLEN> uuid{};
  if (virDomainGetUUIDString(domain.get(), uuid.data()) != 0) fail_libvirt("read a VM's UUID");
  return uuid.data();
}

/// libvirt's numbers of versions: 7002000 is 7.2.0.
std::string version_text(unsigned long number) {
  constexpr unsigned long thousand = 1000;
  return std::to_string(number / (thousand * thousand)) + "." + std::to_string(number / thousand % thousand) +
         "." + std::to_string(number % thousand);
}

std::string advice_on_connecting(const std::string& why) {
  const auto says = [&](const char* words) { return why.find(words) != std::string::npos; };
  if (says("Permission denied") || says("polkit") || says("authentication")) {
    const auto* account = ::getpwuid(::geteuid());
    return std::string("; this account may not use it: type 'adduser ") +
           (account == nullptr ? "USER" : account->pw_name) + " libvirt', and log in anew";
  }
  if (says("No such file") || says("Connection refused"))
    return "; is libvirt's daemon running? ('systemctl start libvirtd')";
  return "";
}

class LibvirtHypervisor final : public Hypervisor {
 public:
  explicit LibvirtHypervisor(const std::string& uri) : uri_(uri) {
    virSetErrorFunc(nullptr, [](void*, virErrorPtr) {});
    connection_.reset(virConnectOpen(uri.c_str()));
    if (!connection_)
      throw Error("connect to libvirt at " + uri + ": " + last_error_text() +
                  advice_on_connecting(last_error_text()));
  }

  void start(const JobVm& vm) override {
    const bool has_passt = !vm.user_network_socket.empty();
    const bool waits = has_passt || vm.disk_server;
    const auto domain = create(vm, waits ? VIR_DOMAIN_START_PAUSED : 0);
    if (!waits) return;
    if (has_passt) require_passt(domain);
    if (vm.disk_server) read_from_server(domain, vm);
    if (virDomainResume(domain.get()) != 0) fail_libvirt("start the VM");
  }

  SavedState save(const JobVm& vm, const std::filesystem::path& state,
                  const std::map<std::filesystem::path, std::filesystem::path>& overlays) override {
    const auto name = vm.name.text();
    const auto domain = look_up(name);
    const auto doing = "save the state of VM '" + name + "'";
    if (!domain) throw Error(doing + ": the VM is gone");
    const auto shape = taken(virDomainGetXMLDesc(domain.get(), 0), doing);
    const auto order = snapshot_order(overlays, shape);
    if (virDomainSuspend(domain.get()) != 0) fail_libvirt(doing);
    const std::string why = [&]() -> std::string {
      try {
        constexpr unsigned flags = VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY |
                                   VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA |
                                   VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT | VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC;
        if (const Snapshot made(virDomainSnapshotCreateXML(domain.get(), order.c_str(), flags)); !made)
          fail_libvirt(doing);
        save_state(domain, state, doing);
        return "";
      } catch (const Error& error) {
        return error.what();
      }
    }();
    if (virDomainResume(domain.get()) != 0) fail_libvirt("let VM '" + name + "' go on");
    if (!why.empty()) throw Error(why);
    return {.file = state, .shape = guest_shape(shape)};
  }

  void restore(const JobVm& vm, const SavedState& state) override {
    const auto doing = "let VM '" + vm.name.text() + "' continue from " + state.file.string();
    const auto domain = create(vm, VIR_DOMAIN_START_PAUSED);
    if (guest_shape(taken(virDomainGetXMLDesc(domain.get(), 0), doing)) != state.shape)
      throw Error(doing + ": it was saved from another kind of VM");
    load_state(domain, state.file, doing);
    if (!vm.user_network_socket.empty()) require_passt(domain);
    if (virDomainResume(domain.get()) != 0) fail_libvirt(doing);
  }

  void leave_disk_server(const std::string& name, const std::vector<std::filesystem::path>& files) override {
    if (const auto domain = look_up(name)) read_from_files(domain, files);
  }

  DomainState state(const std::string& name) override {
    const auto domain = look_up(name);
    if (!domain) return DomainState::gone;
    int state = 0;
    if (virDomainGetState(domain.get(), &state, nullptr, 0) != 0) {
      if (last_error_is(VIR_ERR_NO_DOMAIN)) return DomainState::gone;
      fail_libvirt("ask for the state of VM '" + name + "'");
    }
    const bool stopped = state == VIR_DOMAIN_SHUTOFF || state == VIR_DOMAIN_CRASHED;
    return stopped ? DomainState::stopped : DomainState::running;
  }

  void destroy(const std::string& name) override {
    const auto domain = look_up(name);
    if (!domain || virDomainDestroy(domain.get()) == 0) return;
    if (last_error_is(VIR_ERR_NO_DOMAIN) || last_error_is(VIR_ERR_OPERATION_INVALID)) return;
    fail_libvirt("destroy VM '" + name + "'");
  }

  std::vector<std::string> addresses(const std::string& name) override {
    const auto domain = look_up(name);
    if (!domain) return {};
    return guest_addresses(domain, name);
  }

  std::uint16_t forward_port(const std::string& name, std::uint16_t guest_port) override {
    const auto domain = look_up(name);
    if (!domain) throw Error("forward a port to VM '" + name + "': the VM is gone");
    const auto doing = "forward a port to VM '" + name + "'";
    const auto answer =
        monitor(domain, "hostfwd_add hostnet0 tcp:127.0.0.1:0-:" + std::to_string(guest_port), doing);
    if (!trimmed(answer).empty()) throw Error(doing + ": QEMU says " + quote(trimmed(answer)));
    const auto port = port_in_usernet(monitor(domain, "info usernet", doing), guest_port);
    if (!port) throw Error(doing + ": QEMU's monitor does not list the forward that it was told to make");
    return *port;
  }

  std::vector<JobDomain> list_jobs() override {
    std::vector<JobDomain> jobs;
    for (const auto& domain : all_domains()) {
      const CText metadata(
          virDomainGetMetadata(domain.get(), VIR_DOMAIN_METADATA_ELEMENT, job_metadata_uri, 0));
      if (!metadata) continue;  // not a job's, or gone since
      jobs.push_back(job_in_metadata(metadata.get()));
      jobs.back().name = virDomainGetName(domain.get());
      jobs.back().uuid = uuid_of(domain);
      jobs.back().is_transient = virDomainIsPersistent(domain.get()) == 0;
    }
    return jobs;
  }

  std::string definition(const std::string& name) override {
    const auto domain = look_up(name);
    if (!domain)
      throw Error(Blame::job,
                  "there is no VM " + quote(name) + " at " + uri_ + " ('virsh list --all' lists them)");
    return taken(virDomainGetXMLDesc(domain.get(), VIR_DOMAIN_XML_SECURE | VIR_DOMAIN_XML_INACTIVE),
                 "read the definition of VM '" + name + "'");
  }

  std::string define(const std::string& domain_xml) override {
    const Domain domain(virDomainDefineXML(connection_.get(), domain_xml.c_str()));
    // Nothing of the host's is touched: an internal error, too, is one of the definition.
    if (!domain && last_error_is(VIR_ERR_INTERNAL_ERROR))
      throw Error(Blame::job, "define the VM: " + last_error_text());
    if (!domain) fail_with_domain("define the VM");
    return uuid_of(domain);
  }

  void undefine(const std::string& name) override {
    const auto domain = look_up(name);
    constexpr unsigned all = VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | VIR_DOMAIN_UNDEFINE_NVRAM |
                             VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA |
                             VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA;
    if (!domain || virDomainUndefineFlags(domain.get(), all) == 0) return;
    if (last_error_is(VIR_ERR_NO_DOMAIN)) return;
    fail_libvirt("undefine VM '" + name + "'");
  }

  std::map<std::string, KnownDomain> domains() override {
    std::map<std::string, KnownDomain> known;
    // A domain that does not run has no number; libvirt is not asked again.
    for (const auto& domain : all_domains())
      known[virDomainGetName(domain.get())] = {
          .uuid = uuid_of(domain), .is_running = virDomainGetID(domain.get()) != static_cast<unsigned>(-1)};
    return known;
  }

  std::vector<DomainFiles> domain_files() override {
    std::vector<DomainFiles> all;
    for (const auto& domain : all_domains()) {
      DomainFiles entry{.name = virDomainGetName(domain.get())};
      for (const unsigned flags : {0U, static_cast<unsigned>(VIR_DOMAIN_XML_INACTIVE)}) {
        const CText xml(virDomainGetXMLDesc(domain.get(), flags));
        if (!xml) {
          if (last_error_is(VIR_ERR_NO_DOMAIN)) continue;
          fail_libvirt("read the definition of VM '" + entry.name + "'");
        }
        const bool is_as_it_runs = flags == 0 && virDomainIsActive(domain.get()) == 1;
        if (is_as_it_runs) entry.written = written_files_of_domain(xml.get());
        auto files = files_of_domain(xml.get());
        entry.files.insert(entry.files.end(), files.begin(), files.end());
        for (const auto& volume : volumes_of_domain(xml.get())) {
          entry.files.push_back(path_of(volume, entry.name));
          if (is_as_it_runs) entry.written.push_back(entry.files.back());
        }
      }
      all.push_back(std::move(entry));
    }
    return all;
  }

  std::filesystem::path volume_path(const VolumeName& volume) override { return path_of(volume, ""); }

  GuestFileSystems copy_disks(const std::string& name, const std::vector<DiskCopy>& copies,
                              const std::function<void(std::uint64_t, std::uint64_t)>& progress) override {
    const auto domain = look_up(name);
    if (!domain) throw Error(Blame::job, "copy the disks of VM '" + name + "': it is gone");
    return copy_disks_of(domain, name, copies, progress);
  }

  std::optional<std::uint64_t> written_bytes(const std::string& name) override {
    const auto domain = look_up(name);
    if (!domain) return std::nullopt;
    char* answer = nullptr;
    constexpr auto order = R"({"execute":"query-named-block-nodes","arguments":{"flat":true}})";
    if (virDomainQemuMonitorCommand(domain.get(), order, &answer, 0) != 0) return std::nullopt;
    return written_in_block_nodes(CText(answer).get());
  }

  bool authorize_key(const std::string& name, const std::string& user,
                     const std::string& public_key) override {
    const auto domain = look_up(name);
    const auto doing = "put a key for user '" + user + "' into VM '" + name + "' through its guest agent";
    if (!domain) throw Error(doing + ": the VM is gone");
    const char* key = public_key.c_str();
    if (virDomainAuthorizedSSHKeysSet(domain.get(), user.c_str(), &key, 1,
                                      VIR_DOMAIN_AUTHORIZED_SSH_KEYS_SET_APPEND) == 0)
      return true;
    if (last_error_is(VIR_ERR_AGENT_UNRESPONSIVE) || last_error_is(VIR_ERR_OPERATION_TIMEOUT)) return false;
    throw Error(Blame::job, doing + ": " + last_error_text() +
                                "; it needs qemu-guest-agent 5.2 or newer in the image, and the user");
  }

  bool offers_kvm(const std::string& architecture) override {
    const CText capabilities(
        virConnectGetDomainCapabilities(connection_.get(), nullptr, architecture.c_str(), nullptr, "kvm", 0));
    if (capabilities) return true;
    // "It has none" and "it could not be asked" look alike but for this.
    const std::string why = last_error_text();
    if (virConnectIsAlive(connection_.get()) == 1) return false;
    throw Error("ask libvirt at " + uri_ + " whether it has KVM: " + why);
  }

  std::optional<QemuAccount> qemu_account() override {
    if (!is_local()) return std::nullopt;
    if (account_) return account_;
    const auto capabilities =
        taken(virConnectGetCapabilities(connection_.get()), "ask libvirt for its capabilities");
    account_ =
        account_in_capabilities(capabilities).value_or(QemuAccount{.uid = ::geteuid(), .gid = ::getegid()});
    return account_;
  }

  std::string software() override {
    unsigned long libvirt = 0;
    if (virConnectGetLibVersion(connection_.get(), &libvirt) != 0) fail_libvirt("ask for libvirt's version");
    return "libvirt " + version_text(libvirt) + ", QEMU " + version_text(qemu_version());
  }

  std::filesystem::path emulator(const std::string& architecture) override {
    return emulator_in_capabilities(
        taken(virConnectGetDomainCapabilities(connection_.get(), nullptr, architecture.c_str(), nullptr,
                                              nullptr, 0),
              "ask libvirt for its QEMU of " + architecture));
  }

  bool has_stream_network() override {
    constexpr unsigned long stream_since = 7'002'000;
    return qemu_version() >= stream_since;
  }

  bool has_network(const std::string& name) override { return static_cast<bool>(look_up_network(name)); }

  void require_network(const std::string& name) override {
    const auto network = look_up_network(name);
    const auto virsh = "'virsh -c " + uri_;
    if (!network)
      throw Error("libvirt has no network " + quote(name) + " (" + virsh +
                  " net-list --all' lists them); correct the setting 'network'");
    if (virNetworkIsActive(network.get()) == 0)
      throw Error("libvirt's network " + quote(name) + " is not active: type " + virsh + " net-start " +
                  name + "', and " + virsh + " net-autostart " + name + "' for every boot");
  }

  TrafficFilter filter_without_address(const std::string& network) override {
    const bool is_libvirts = !network.empty() && gives_addresses(network);
    LibvirtFilters filters(connection_);
    return sarde::filter_without_address(filters,
                                         is_libvirts ? AddressSource::libvirt : AddressSource::anybody);
  }

  void hold_to_address(const JobVm& vm, const std::string& address) override {
    auto held = vm;
    LibvirtFilters filters(connection_);
    held.filter = filter_with_address(filters, vm.filter.value().source, address);
    const auto domain = look_up(vm.name.text());
    const auto doing = "change the network card of VM '" + vm.name.text() + "'";
    if (!domain) throw Error(doing + ": it is gone");
    if (virDomainUpdateDeviceFlags(domain.get(), job_interface(held).c_str(), VIR_DOMAIN_AFFECT_LIVE) != 0)
      fail_libvirt(doing);
  }

  bool is_local() override {
    const auto uri = taken(virConnectGetURI(connection_.get()), "ask libvirt for its URI");
    // driver[+transport]://[host]/path
    const auto host = uri.find("://");
    return host == std::string::npos || (host + 3 < uri.size() && uri[host + 3] == '/');
  }

 private:
  unsigned long qemu_version() {
    unsigned long version = 0;
    if (virConnectGetVersion(connection_.get(), &version) != 0) fail_libvirt("ask for QEMU's version");
    return version;
  }

  Domain create(const JobVm& vm, unsigned flags) {
    const auto xml = build_job_domain(vm).xml;
    Domain domain(virDomainCreateXML(connection_.get(), xml.c_str(), flags));
    if (!domain) fail_to_start(xml);
    return domain;
  }

  /// Waits until QEMU, whose VM is paused, has connected to passt's socket: usually it has already.
  static void require_passt(const Domain& domain) {
    constexpr std::chrono::milliseconds longest_pause(100);
    constexpr std::chrono::seconds longest(15);
    const std::string doing = "connect QEMU to passt's socket";
    const auto deadline = std::chrono::steady_clock::now() + longest;
    for (std::chrono::milliseconds pause(5); std::chrono::steady_clock::now() < deadline;
         pause = std::min(2 * pause, longest_pause)) {
      const auto shown = stream_in_network(
          monitor(domain, "info network", "ask QEMU whether it has connected to passt's socket"),
          passt_netdev);
      if (shown.starts_with("unix:")) return;
      if (shown.find("error") != std::string::npos)
        throw NoPasst(doing + ": QEMU says " + quote(shown) +
                      "; do AppArmor, SELinux or a folder's rights forbid it?");
      std::this_thread::sleep_for(pause);
    }
    throw NoPasst(doing + ": it has not done so within " + duration_text(longest));
  }

  /// Has the network a DHCP server of libvirt's own?
  bool gives_addresses(const std::string& name) {
    const Network network(virNetworkLookupByName(connection_.get(), name.c_str()));
    const auto doing = "read the definition of libvirt's network '" + name + "'";
    if (!network) fail_libvirt(doing);
    return has_ipv4_dhcp(taken(virNetworkGetXMLDesc(network.get(), 0), doing));
  }

  /// Null where there is no such domain; throws where libvirt could not look.
  Domain look_up(const std::string& name) {
    Domain domain(virDomainLookupByName(connection_.get(), name.c_str()));
    if (!domain && !last_error_is(VIR_ERR_NO_DOMAIN)) fail_libvirt("look up VM '" + name + "'");
    return domain;
  }

  /// libvirt calls some faults of a definition internal errors. If it cannot even tell QEMU's command line
  /// for it, the definition is at fault, and another try would not help.
  [[noreturn]] void fail_to_start(const std::string& xml) {
    const auto why = last_error_text();
    if (const auto missing = missing_on_host(why); !missing.empty())
      throw Error("start the VM: " + why + "; " + missing);
    const bool is_unclear = last_error_is(VIR_ERR_INTERNAL_ERROR);
    if (is_unclear && !CText(virConnectDomainXMLToNative(connection_.get(), "qemu-argv", xml.c_str(), 0)))
      throw Error(Blame::job, "start the VM: " + why);
    if (is_unclear) throw Error("start the VM: " + why);
    fail_with_domain("start the VM");
  }

  /// Empty if there is none.
  Network look_up_network(const std::string& name) {
    Network network(virNetworkLookupByName(connection_.get(), name.c_str()));
    if (!network && !last_error_is(VIR_ERR_NO_NETWORK))
      fail_libvirt("look for libvirt's network " + quote(name));
    return network;
  }

  std::filesystem::path path_of(const VolumeName& name, const std::string& domain) {
    const auto doing = "find volume '" + name.volume + "' of pool '" + name.pool + "'" +
                       (domain.empty() ? "" : ", which VM '" + domain + "' uses");
    const Pool pool(virStoragePoolLookupByName(connection_.get(), name.pool.c_str()));
    if (!pool) fail_libvirt(doing);
    const Volume volume(virStorageVolLookupByName(pool.get(), name.volume.c_str()));
    if (!volume) fail_libvirt(doing);
    return taken(virStorageVolGetPath(volume.get()), doing);
  }

  std::vector<Domain> all_domains() {
    virDomainPtr* listed = nullptr;
    const int count = virConnectListAllDomains(connection_.get(), &listed, 0);
    if (count < 0) fail_libvirt("list the VMs at " + uri_);
    std::vector<Domain> domains(listed, listed + count);
    free(listed);  // NOLINT(cppcoreguidelines-no-malloc): libvirt allocated it
    return domains;
  }

  static std::string monitor(const Domain& domain, const std::string& command, const std::string& doing) {
    char* answer = nullptr;
    if (virDomainQemuMonitorCommand(domain.get(), command.c_str(), &answer,
                                    VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP) != 0)
      fail_libvirt(doing);
    return taken(answer, doing);
  }

  std::string uri_;
  Connection connection_;
  std::optional<QemuAccount> account_;  ///< asked for once: several steps of prepare need it
};

}  // namespace

}  // namespace sarde

extern "C" sarde::Hypervisor* sarde_connect_libvirt(const std::string& uri) {
  return std::make_unique<sarde::LibvirtHypervisor>(uri).release();
}
