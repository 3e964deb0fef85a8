#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/system/clock.hpp"
#include "core/vm/qemu_account.hpp"

namespace sarde {

/// Whether a domain runs. `gone`: libvirt knows no domain of that name.
enum class DomainState { running, stopped, gone };

/// A domain that carries our metadata: a job's VM.
struct JobDomain {
  std::string name = {};
  std::string uuid = {};
  std::optional<Moment> expires = {};
  std::filesystem::path folder = {};  ///< the job's; empty: unsaid
  bool is_transient = false;          ///< no definition of it is kept, as of no job's VM
};

/// The files that a domain's definition names.
struct DomainFiles {
  std::string name;
  std::vector<std::filesystem::path> files = {};    ///< disks and their backing files
  std::vector<std::filesystem::path> written = {};  ///< of them, those that it writes to just now
};

/// A disk of a running domain and the new file that gets what it holds.
struct DiskCopy {
  std::string device;  ///< its target: vda
  std::string format;  ///< qcow2 or raw
  std::filesystem::path file;
};

/// Whether the guest's file systems were frozen at the moment that a copy shows; `still_frozen`: and could
/// not be thawed again.
enum class GuestFileSystems { frozen, running, still_frozen };

/// The machine virtualisation of one libvirt connection, in our own words. Calls block until libvirt has
/// answered; they throw Error, the host's fault, when it cannot be asked or refuses.
class Hypervisor {
 public:
  Hypervisor() = default;
  Hypervisor(const Hypervisor&) = delete;
  Hypervisor& operator=(const Hypervisor&) = delete;
  virtual ~Hypervisor() = default;

  /// Starts a transient domain; it is gone when it stops. Returns its UUID. What libvirt says of the domain
  /// itself (that it is no valid one, or asks for what this host's QEMU does not have) is the job's fault.
  virtual std::string start(const std::string& domain_xml) = 0;

  virtual DomainState state(const std::string& name) = 0;

  /// Ends the domain at once, as pulling its plug would. Fine if it is gone.
  virtual void destroy(const std::string& name) = 0;

  /// Addresses of the domain's first interface, IPv4 before IPv6, without link-local ones: from DHCP leases,
  /// else the guest agent, else the host's ARP table. What the agent says is the guest's word: of that only
  /// the IPv4 addresses count at which this host's neighbour table has the VM's own MAC address. Empty while
  /// none is known.
  virtual std::vector<std::string> addresses(const std::string& name) = 0;

  /// Forwards a free port of 127.0.0.1 to `guest_port` of a domain on QEMU's user-mode network; returns the
  /// port.
  virtual std::uint16_t forward_port(const std::string& name, std::uint16_t guest_port) = 0;

  virtual std::vector<JobDomain> list_jobs() = 0;

  /// The domain's definition with its secrets, as the next start would use it.
  virtual std::string definition(const std::string& name) = 0;

  /// Makes a domain known without starting it. Returns its UUID. Faults as with start().
  virtual std::string define(const std::string& domain_xml) = 0;

  /// The UUID of a domain, nothing if it is gone.
  virtual std::optional<std::string> uuid(const std::string& name) = 0;

  /// Forgets a domain that is not running; its disks stay, its NVRAM file goes. Fine if it is gone.
  virtual void undefine(const std::string& name) = 0;

  /// Every domain's name, and whether it runs. One question, however many there are.
  virtual std::map<std::string, bool> domains() = 0;

  /// What files every domain uses, as it runs and as it is defined.
  virtual std::vector<DomainFiles> domain_files() = 0;

  /// Copies disks of a running domain as they are at one moment, while it runs on. Blocks until done, calling
  /// `progress` with bytes; what it throws (Cancelled too) leaves no copying behind, but perhaps files.
  virtual GuestFileSystems copy_disks(
      const std::string& name, const std::vector<DiskCopy>& copies,
      const std::function<void(std::uint64_t done, std::uint64_t total)>& progress) = 0;

  /// Bytes that a running domain's disks take on this host beside what they rest on; nothing if it is gone,
  /// or that cannot be told.
  virtual std::optional<std::uint64_t> written_bytes(const std::string& name) = 0;

  /// Does libvirt offer KVM for guests of this architecture (libvirt's name)?
  virtual bool offers_kvm(const std::string& architecture) = 0;

  /// Who QEMU runs as; nothing if it runs on another machine.
  virtual std::optional<QemuAccount> qemu_account() = 0;

  /// Can QEMU have a network from a stream socket (since 7.2)?
  virtual bool has_stream_network() = 0;

  /// Does this network of libvirt's give its guests IPv4 addresses by a DHCP server of libvirt's own?
  virtual bool network_gives_addresses(const std::string& network) = 0;

  /// Does libvirt have a network filter of this name (formatnwfilter.html)?
  virtual bool has_network_filter(const std::string& name) = 0;

  /// Makes a network filter; there must be none of its name.
  virtual void define_network_filter(const std::string& filter_xml) = 0;

  /// Changes a device of a running domain, given as its element.
  virtual void update_device(const std::string& name, const std::string& device_xml) = 0;

  /// Does it run on this machine, so that its files are ours?
  virtual bool is_local() = 0;
};

}  // namespace sarde
