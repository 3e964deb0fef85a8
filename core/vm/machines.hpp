#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/system/clock.hpp"
#include "core/vm/job_vm.hpp"

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

/// The VMs of jobs. Calls block until libvirt has answered; they throw Error, the host's fault, when libvirt
/// cannot be asked or refuses.
class Machines {
 public:
  Machines() = default;
  Machines(const Machines&) = delete;
  Machines& operator=(const Machines&) = delete;
  virtual ~Machines() = default;

  /// Starts the VM as a transient domain, which is gone when it stops. Throws Error, the job's fault, when
  /// libvirt objects to the domain itself: it is invalid, or asks for what this host's QEMU does not have.
  virtual void start(const JobVm& vm) = 0;

  virtual DomainState state(const std::string& name) = 0;

  /// Ends the domain at once, as pulling its plug would. Fine if it is gone.
  virtual void destroy(const std::string& name) = 0;

  virtual std::vector<JobDomain> list_jobs() = 0;

  /// Bytes that a running domain's disks take on this host beside what they rest on; nothing if it is gone,
  /// or that cannot be told.
  virtual std::optional<std::uint64_t> written_bytes(const std::string& name) = 0;
};

}  // namespace sarde
