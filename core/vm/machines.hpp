#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/foundation/error.hpp"
#include "core/system/clock.hpp"
#include "core/vm/job_vm.hpp"

namespace sarde {

/// Whether a domain runs. `gone`: libvirt knows no domain of that name.
enum class DomainState { running, stopped, gone };

/// passt cannot provide a VM's network.
class NoPasst : public Error {
 public:
  using Error::Error;
};

/// QEMU cannot read from a VM's disk server.
class NotServed : public Error {
 public:
  using Error::Error;
};

/// A domain with this program's metadata: a job's VM.
struct JobDomain {
  std::string name = {};
  std::string uuid = {};
  std::optional<Moment> expires = {};
  std::filesystem::path folder = {};  ///< the job's; empty: not stated
  bool is_transient = false;          ///< libvirt keeps no definition of it; true for every job's VM
};

/// What is saved of a running VM, beside its disks.
struct SavedState {
  std::filesystem::path file;  ///< its memory and devices, as QEMU writes them for a migration
  std::string shape;           ///< what the guest sees of its VM (guest_shape()): only the same can continue
};

/// The VMs of jobs. Calls block until libvirt has answered; they throw Error, the host's fault, when libvirt
/// cannot be asked or refuses.
class Machines {
 public:
  Machines() = default;
  Machines(const Machines&) = delete;
  Machines& operator=(const Machines&) = delete;
  virtual ~Machines() = default;

  /// Starts the VM as a transient domain, which disappears when it stops. Throws Error, the job's fault, if
  /// libvirt rejects the domain itself: it is invalid, or it requires something that this host's QEMU lacks.
  /// Throws NoPasst if QEMU cannot connect to passt's socket, as when it is confined: it would go on without
  /// a network, and say nothing; and NotServed if it cannot connect to the VM's disk server. The VM exists
  /// then, and has not run.
  virtual void start(const JobVm& vm) = 0;

  /// Saves the state of a running VM to a new file, which only this account can read, while the VM stands
  /// still: about a second. Then the VM goes on, and writes to `overlays`, by the path of the file that it
  /// wrote to until now, and which does not change any more; they must exist. Throws Error, after half a
  /// minute at the latest; the VM runs then, unless it is gone.
  virtual SavedState save(const JobVm& vm, const std::filesystem::path& state,
                          const std::map<std::filesystem::path, std::filesystem::path>& overlays) = 0;

  /// The same as start(), but the VM, which has awaits_state, continues from a saved state. QEMU needs no
  /// right to the file, and any number of VMs may continue from it. Throws Error if it cannot; the VM may
  /// exist then.
  virtual void restore(const JobVm& vm, const SavedState& state) = 0;

  /// The files that the VM reads from its disk server are whole: from here on it reads these (the image's
  /// disks, in its manifest's order), while it runs. Does nothing if it does so already, or is gone. Throws
  /// Error, also for a VM that is still being started; then it can be called again.
  virtual void leave_disk_server(const std::string& name,
                                 const std::vector<std::filesystem::path>& files) = 0;

  virtual DomainState state(const std::string& name) = 0;

  /// Stops the domain at once, like a power cut. Does nothing if the domain does not exist.
  virtual void destroy(const std::string& name) = 0;

  virtual std::vector<JobDomain> list_jobs() = 0;

  /// The bytes that a running domain's disks occupy on this host, without their backing files. Nothing if the
  /// domain does not exist or the number cannot be determined.
  virtual std::optional<std::uint64_t> written_bytes(const std::string& name) = 0;

  /// Adds a public key (a line of ~/.ssh/authorized_keys) to those that log a user into the guest, through
  /// its agent. Returns false if the agent does not answer (yet). Throws Error, the job's fault, if it
  /// refuses.
  virtual bool authorize_key(const std::string& name, const std::string& user,
                             const std::string& public_key) = 0;
};

}  // namespace sarde
