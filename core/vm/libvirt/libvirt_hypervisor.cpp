#include <algorithm>
#include <array>
#include <memory>
#include <span>
#include <thread>
#include <unistd.h>

#include <libvirt/libvirt-qemu.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include "core/foundation/c_handle.hpp"
#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/vm/domain/domain_reading.hpp"
#include "core/vm/domain/job_domain.hpp"
#include "core/vm/domain/libvirt_answers.hpp"
#include "core/vm/hypervisor_loader.hpp"
#include "core/vm/neighbours.hpp"
#include "core/vm/vm_name.hpp"

namespace sarde {

namespace {

using Connection = CHandle<virConnect, virConnectClose>;
using Domain = CHandle<virDomain, virDomainFree>;
using Pool = CHandle<virStoragePool, virStoragePoolFree>;
using Volume = CHandle<virStorageVol, virStorageVolFree>;
using Network = CHandle<virNetwork, virNetworkFree>;
using Filter = CHandle<virNWFilter, virNWFilterFree>;
using CText = CHandle<char, free>;

std::string last_error_text() {
  const virError* error = virGetLastError();
  return error != nullptr && error->message != nullptr ? error->message : "libvirt gives no reason";
}

/// Throws with libvirt's last error, which any further call in this thread would clear: so this is the first
/// call after the one that failed.
[[noreturn]] void fail_libvirt(const std::string& doing) {
  throw Error(doing + ": " + last_error_text());
}

/// libvirt's answers to a domain that is wrong in itself, or asks for what this host's QEMU does not have.
/// Domains come from images, so these are a job's fault: trying again would not help.
constexpr std::array about_the_domain{
    VIR_ERR_XML_ERROR, VIR_ERR_XML_DETAIL, VIR_ERR_XML_INVALID_SCHEMA, VIR_ERR_CONFIG_UNSUPPORTED,
    VIR_ERR_OS_TYPE,   VIR_ERR_NO_OS,      VIR_ERR_INVALID_ARG};

[[noreturn]] void fail_with_domain(const std::string& doing) {
  const virError* error = virGetLastError();
  const bool is_about_it =
      error != nullptr && std::ranges::find(about_the_domain, error->code) != about_the_domain.end();
  throw Error(is_about_it ? Blame::job : Blame::host, doing + ": " + last_error_text());
}

bool last_error_is(int code) {
  const virError* error = virGetLastError();
  return error != nullptr && error->code == code;
}

std::string taken(char* text, const std::string& doing) {
  const CText owner(text);
  if (!owner) fail_libvirt(doing);
  return owner.get();
}

std::string uuid_of(const Domain& domain) {
  std::array<char, VIR_UUID_STRING_BUFLEN> uuid{};
  if (virDomainGetUUIDString(domain.get(), uuid.data()) != 0) fail_libvirt("read a VM's UUID");
  return uuid.data();
}

/// The array of interfaces that virDomainInterfaceAddresses gives.
class Interfaces {
 public:
  Interfaces(virDomainPtr domain, unsigned source)
      : count_(virDomainInterfaceAddresses(domain, &interfaces_, source, 0)) {}

  Interfaces(const Interfaces&) = delete;
  Interfaces& operator=(const Interfaces&) = delete;

  ~Interfaces() {
    for (int i = 0; i < count_; ++i) virDomainInterfaceFree(interfaces_[i]);
    free(interfaces_);  // NOLINT(cppcoreguidelines-no-malloc): libvirt allocated it
  }

  /// IPv4 first; no loopback, no link-local.
  [[nodiscard]] std::vector<std::string> usable_addresses() const {
    std::vector<std::string> four;
    std::vector<std::string> six;
    for (int i = 0; i < count_; ++i) {
      const auto& interface = *interfaces_[i];
      for (const auto& address : std::span(interface.addrs, interface.naddrs)) {
        const std::string text = address.addr;
        if (text.starts_with("127.") || text.starts_with("169.254.") || text.starts_with("fe80:") ||
            text == "::1")
          continue;
        (address.type == VIR_IP_ADDR_TYPE_IPV6 ? six : four).push_back(text);
      }
    }
    four.insert(four.end(), six.begin(), six.end());
    return four;
  }

 private:
  virDomainInterfacePtr* interfaces_ = nullptr;
  int count_;
};

/// How a domain's job (its only one: copying disks) stands.
class JobStats {
 public:
  JobStats(const Domain& domain, unsigned flags) {
    if (virDomainGetJobStats(domain.get(), &type_, &parameters_, &count_, flags) != 0)
      fail_libvirt("ask how the copying of disks stands");
  }

  JobStats(const JobStats&) = delete;
  JobStats& operator=(const JobStats&) = delete;

  ~JobStats() { virTypedParamsFree(parameters_, count_); }

  [[nodiscard]] int type() const { return type_; }

  [[nodiscard]] std::uint64_t number(const char* name) const {
    unsigned long long value = 0;
    return virTypedParamsGetULLong(parameters_, count_, name, &value) == 1 ? value : 0;
  }

  [[nodiscard]] std::optional<std::string> text(const char* name) const {
    const char* value = nullptr;
    if (virTypedParamsGetString(parameters_, count_, name, &value) != 1) return std::nullopt;
    return value;
  }

 private:
  virTypedParameterPtr parameters_ = nullptr;
  int count_ = 0;
  int type_ = VIR_DOMAIN_JOB_NONE;
};

class LibvirtFilters final : public NetworkFilters {
 public:
  explicit LibvirtFilters(const Connection& connection) : connection_(connection) {}

  bool has(const std::string& name) override {
    const Filter filter(virNWFilterLookupByName(connection_.get(), name.c_str()));
    return filter != nullptr;
  }

  void define(const std::string& filter_xml) override {
    const Filter filter(virNWFilterDefineXML(connection_.get(), filter_xml.c_str()));
    if (!filter) fail_libvirt("define a network filter");
  }

 private:
  const Connection& connection_;
};

class LibvirtHypervisor final : public Hypervisor {
 public:
  explicit LibvirtHypervisor(const std::string& uri) : uri_(uri) {
    virSetErrorFunc(nullptr, [](void*, virErrorPtr) {});
    connection_.reset(virConnectOpen(uri.c_str()));
    if (!connection_) fail_libvirt("connect to libvirt at " + uri);
  }

  void start(const JobVm& vm) override {
    const auto xml = build_job_domain(vm).xml;
    const Domain domain(virDomainCreateXML(connection_.get(), xml.c_str(), 0));
    if (!domain) fail_with_domain("start the VM");
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
    for (const auto source :
         {VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE, VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT,
          VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ARP}) {
      auto found = Interfaces(domain.get(), source).usable_addresses();
      if (source == VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT) {
        const auto vm = VmName::parse(name);
        std::erase_if(found, [&](const std::string& address) {
          return !vm || !is_neighbour(address, vm->mac_address());
        });
      }
      if (!found.empty()) return found;
    }
    return {};
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
        for (const auto& volume : volumes_of_domain(xml.get()))
          entry.files.push_back(path_of(volume, entry.name));
      }
      all.push_back(std::move(entry));
    }
    return all;
  }

  GuestFileSystems copy_disks(const std::string& name, const std::vector<DiskCopy>& copies,
                              const std::function<void(std::uint64_t, std::uint64_t)>& progress) override {
    const auto domain = look_up(name);
    const auto doing = "copy the disks of VM '" + name + "'";
    if (!domain) throw Error(Blame::job, doing + ": it is gone");
    const auto xml = taken(virDomainGetXMLDesc(domain.get(), 0), doing);
    const auto order = backup_order(copies, disk_targets(xml));
    const bool frozen = virDomainFSFreeze(domain.get(), nullptr, 0, 0) >= 0;
    const bool begun = virDomainBackupBegin(domain.get(), order.c_str(), nullptr, 0) == 0;
    const std::string why = begun ? "" : last_error_text();
    const bool thawed = !frozen || thaw(domain);
    if (!begun)
      throw Error(doing + ": " + why +
                  (thawed ? ""
                          : "; and the guest's file systems are still frozen: 'virsh domfsthaw " + name +
                                "' thaws them"));
    try {
      while (copying(domain, doing, progress)) std::this_thread::sleep_for(std::chrono::milliseconds(100));
    } catch (const Cancelled&) {
      virDomainAbortJob(domain.get());
      throw;
    } catch (const Error& error) {
      virDomainAbortJob(domain.get());
      if (thawed) throw;
      throw Error(error.blame(), std::string(error.what()) +
                                     "; and the guest's file systems are still frozen: 'virsh domfsthaw " +
                                     name + "' thaws them");
    }
    if (!thawed) return GuestFileSystems::still_frozen;
    return frozen ? GuestFileSystems::frozen : GuestFileSystems::running;
  }

  std::optional<std::uint64_t> written_bytes(const std::string& name) override {
    const auto domain = look_up(name);
    if (!domain) return std::nullopt;
    char* answer = nullptr;
    constexpr auto order = R"({"execute":"query-named-block-nodes","arguments":{"flat":true}})";
    if (virDomainQemuMonitorCommand(domain.get(), order, &answer, 0) != 0) return std::nullopt;
    return written_in_block_nodes(CText(answer).get());
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
    const auto capabilities =
        taken(virConnectGetCapabilities(connection_.get()), "ask libvirt for its capabilities");
    return account_in_capabilities(capabilities)
        .value_or(QemuAccount{.uid = ::geteuid(), .gid = ::getegid()});
  }

  bool has_stream_network() override {
    constexpr unsigned long stream_since = 7'002'000;
    unsigned long version = 0;
    if (virConnectGetVersion(connection_.get(), &version) != 0) fail_libvirt("ask for QEMU's version");
    return version >= stream_since;
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

  std::filesystem::path path_of(const VolumeName& name, const std::string& domain) {
    const auto doing =
        "find volume '" + name.volume + "' of pool '" + name.pool + "', which VM '" + domain + "' uses";
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

  static bool thaw(const Domain& domain) {
    constexpr int tries = 3;
    for (int i = 0; i < tries; ++i) {
      if (virDomainFSThaw(domain.get(), nullptr, 0, 0) >= 0) return true;
      std::this_thread::sleep_for(std::chrono::seconds(1));
    }
    return false;
  }

  /// Is the copying still under way? Throws Error if it ended otherwise than well.
  static bool copying(const Domain& domain, const std::string& doing,
                      const std::function<void(std::uint64_t, std::uint64_t)>& progress) {
    const JobStats now(domain, 0);
    if (now.type() == VIR_DOMAIN_JOB_BOUNDED || now.type() == VIR_DOMAIN_JOB_UNBOUNDED) {
      progress(now.number(VIR_DOMAIN_JOB_DISK_PROCESSED), now.number(VIR_DOMAIN_JOB_DISK_TOTAL));
      return true;
    }
    const JobStats ended(domain, VIR_DOMAIN_JOB_STATS_COMPLETED);
    if (ended.type() == VIR_DOMAIN_JOB_COMPLETED) return false;
    throw Error(doing + ": " +
                ended.text(VIR_DOMAIN_JOB_ERRMSG).value_or("libvirt gave it up without a reason"));
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
};

}  // namespace

}  // namespace sarde

extern "C" sarde::Hypervisor* sarde_connect_libvirt(const std::string& uri) {
  return std::make_unique<sarde::LibvirtHypervisor>(uri).release();
}
