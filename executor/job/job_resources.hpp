#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/job/job_record.hpp"
#include "core/vm/hypervisor.hpp"
#include "core/vm/vm_name.hpp"

namespace sarde {

/// The connection to libvirt, made when it is first needed.
using HypervisorSource = std::function<Hypervisor&()>;

/// Tries every step, whatever failed before; finish() throws one Error that lists what did.
class Attempts {
 public:
  void operator()(const std::string& what, const std::function<void()>& step);
  void finish() const;

 private:
  std::vector<std::string> failures_;
};

/// All that belongs to one job on this host: its VM and its folder. The folder is made before the VM and goes
/// after it, so where there is no folder there is no VM.
class JobResources {
 public:
  JobResources(VmName name, JobFolder folder, HypervisorSource hypervisor)
      : name_(std::move(name)), folder_(std::move(folder)), hypervisor_(std::move(hypervisor)) {}

  [[nodiscard]] const VmName& name() const { return name_; }

  [[nodiscard]] const JobFolder& folder() const { return folder_; }

  [[nodiscard]] bool are_there() const;

  /// Takes down the VM and the folder; fine if they are gone. Throws Error listing what stays.
  void take_down() const;

 private:
  VmName name_;
  JobFolder folder_;
  HypervisorSource hypervisor_;
};

}  // namespace sarde
