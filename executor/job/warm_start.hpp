#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "core/job/job.hpp"
#include "executor/job/cloud_seed.hpp"
#include "executor/job/guest_door.hpp"
#include "executor/job/job_resources.hpp"
#include "executor/job/vm_starter.hpp"

namespace sarde {

/// The administrator's settings for warm starts.
struct WarmRules {
  bool is_wanted = false;
  bool is_renewed = false;           ///< a new template is made, even if there is one
  std::filesystem::path passt = {};  ///< the program; empty: it is not installed
  std::chrono::seconds max_age{};    ///< of a template
  std::string shell = {};            ///< of the guests
};

/// One job's warm start: its VM continues from the saved state of one that had booted, instead of booting
/// itself. Whenever anything is not exactly as it was, the VM boots, which is said in one line with the
/// reason.
class WarmStart {
 public:
  struct Parts {
    const WarmRules& rules;
    VmStarter& starter;
    GuestDoor& door;
    Source<Hypervisor> hypervisor;
    Clock& clock;
    Cancellation& cancellation;
    Reporter& reporter;
  };

  /// The job that it is for.
  struct Subject {
    const Job& job;
    const ObtainedImage& image;
    const JobResources& resources;
    const GuestNeeds& needs;
    const GuestSetup& setup;
    std::function<void()> watch;
  };

  /// `planned`: settled, too. It is noted there if the VM may be cloned.
  WarmStart(Parts parts, Subject subject, StartedVm& planned);

  /// Lets the VM continue from the template, if there is one, and renews the guest. Returns nothing if the VM
  /// has to boot; then nothing is left of the attempt. A template that has not been proven is first: a second
  /// VM continues from it at the same time, and both must have random numbers of their own. Throws Error and
  /// Cancelled only for what would end a job that boots, too.
  std::optional<OpenDoor> go_on(StartedVm& started);

  /// Bytes of what the VM continued from; 0: it booted.
  [[nodiscard]] std::uint64_t state_size() const { return state_size_; }

  /// Makes a template of a VM that has booted, if there is none: the VM stands still for about a second.
  /// Returns the door, which was closed and opened again: the VM, too, gets new random numbers, because those
  /// that it had are in its state. Throws Error only if the VM is lost.
  OpenDoor keep(StartedVm& started, OpenDoor door, std::chrono::milliseconds boot);

  /// Whether keep() has made a template.
  [[nodiscard]] bool has_saved() const { return has_saved_; }

 private:
  /// A VM that continued, and what it has to itself.
  struct Continued {
    StartedVm vm;
    OpenDoor door;
    std::string random;
  };

  [[nodiscard]] std::string why_not(const StartedVm& planned) const;
  Continued continue_from(const WarmTemplate& made, const StartedVm& planned, const JobResources& resources);
  std::optional<WarmTemplate> find();
  OpenDoor go_on_from(WarmTemplate& made, StartedVm& started);
  void save(StartedVm& started, const std::string& host_key, std::chrono::milliseconds boot);
  void refuse(const std::string& why);
  OpenDoor take(Continued continued, StartedVm& started);
  OpenDoor prove(const WarmTemplate& made, StartedVm& started);
  void boots(const std::string& why);
  OpenDoor open_again(const StartedVm& vm, std::chrono::milliseconds timeout, const std::string& host_key);

  Parts parts_;
  Subject subject_;
  std::optional<WarmTemplates> templates_;  ///< nothing: such a VM always boots
  std::uint64_t state_size_ = 0;
  bool has_saved_ = false;
};

}  // namespace sarde
