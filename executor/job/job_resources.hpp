#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/foundation/reporter.hpp"
#include "core/foundation/source.hpp"
#include "core/job/job_record.hpp"
#include "core/vm/machines.hpp"
#include "core/vm/vm_name.hpp"

namespace sarde {

/// Tries every step, even if an earlier one failed. finish() throws one Error that lists the failures.
class Attempts {
 public:
  void operator()(const std::string& what, const std::function<void()>& step);
  void finish() const;

 private:
  std::vector<std::string> failures_;
};

/// Everything that belongs to one job on this host: its VM and its folder. The folder is created before the
/// VM and removed after it, so if there is no folder, there is no VM.
class JobResources {
 public:
  JobResources(VmName name, JobFolder folder, Source<Machines> machines)
      : name_(std::move(name)), folder_(std::move(folder)), machines_(std::move(machines)) {}

  [[nodiscard]] const VmName& name() const { return name_; }

  [[nodiscard]] const JobFolder& folder() const { return folder_; }

  [[nodiscard]] bool are_there() const;

  /// Destroys the VM and removes the folder; succeeds if they do not exist. Throws Error with a list of what
  /// could not be removed.
  void take_down() const;

 private:
  VmName name_;
  JobFolder folder_;
  Source<Machines> machines_;
};

/// Removes what a job has so far, unless dismiss() is called. This applies no matter what ends `prepare`,
/// including exceptions of the standard library.
class Rollback {
 public:
  Rollback(const JobResources& resources, Reporter& reporter) : resources_(resources), reporter_(reporter) {}

  Rollback(const Rollback&) = delete;
  Rollback& operator=(const Rollback&) = delete;
  ~Rollback();

  void dismiss() { is_dismissed_ = true; }

 private:
  const JobResources& resources_;
  Reporter& reporter_;
  bool is_dismissed_ = false;
};

}  // namespace sarde
