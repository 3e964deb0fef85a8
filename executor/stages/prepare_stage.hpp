#pragma once

#include <memory>
#include <string>

#include "config/settings.hpp"
#include "core/foundation/reporter.hpp"
#include "core/image/store/image_store.hpp"
#include "core/job/job.hpp"
#include "core/system/environment.hpp"
#include "core/vm/domain/domain_reading.hpp"
#include "core/vm/domain/job_domain.hpp"
#include "core/vm/passt.hpp"
#include "executor/job/boot_wait.hpp"
#include "executor/job/job_resources.hpp"

namespace sarde {

/// `prepare`: from the job's image to a VM that lets us in. What it leaves: a running VM and the job's
/// folder, with a record of how to get in; after a failure, nothing.
class PrepareStage {
 public:
  struct Parts {
    const Settings& settings;
    const Environment& environment;
    const ImageStore& images;
    Registry& registry;
    HypervisorSource hypervisor;
    Clock& clock;
    Cancellation& cancellation;
    Reporter& reporter;
  };

  PrepareStage(Parts parts, JobResources resources)
      : parts_(std::move(parts)), resources_(std::move(resources)) {}

  /// Throws Error with the blame that gitlab-runner needs to hear of, Cancelled.
  void run(const Job& job);

 private:
  struct Network {
    NetworkMode mode;
    std::string name = {};                   ///< of a libvirt network
    bool is_user = false;                    ///< a user-mode network: reached by a forwarded port
    std::optional<PasstNetwork> passt = {};  ///< it, if it is not QEMU's built-in one
  };

  /// How to reach the registry, and what it said when it was asked so.
  struct ChosenAccess {
    RegistryAccess access;
    AnnouncedImage announced;
  };

  void discard_leftovers();
  void roll_back() noexcept;
  void bring_up(const Job& job);
  ObtainedImage obtain_image(const Job& job);
  ObtainedImage from_cache(const ImageReference& reference, const std::string& policy, const Job& job);
  ObtainedImage from_registry(const ImageReference& reference, const ChosenAccess& chosen);
  void check_access(const StoredImage& image, const std::string& policy, const Job& job);
  ChosenAccess choose_access(const ImageReference& reference, const Job& job);
  void refuse_what_no_job_may_have(const std::string& domain_xml) const;
  void say_unpacked(const UnpackedImage& unpacked, TimePoint start);
  [[nodiscard]] std::string pull_policy(const Job& job) const;
  JobDomainPlan make_overlays(const DomainSummary& domain, const UnpackedImage& disks);
  void start_vm(const StoredImage& image, const DomainSummary& domain, const UnpackedImage& disks,
                JobDomainPlan& plan, const Job& job, Network& network);
  void start(const StoredImage& image, JobDomainPlan& plan);
  void let_qemu_in(const UnpackedImage& disks, const JobDomainPlan& plan);
  [[nodiscard]] std::uint64_t disk_limit(std::uint64_t room) const;
  [[nodiscard]] std::optional<TrafficFilter> choose_filter(const StoredImage& image, const Network& network);
  void warn_of_no_filter(const std::string& why);
  void hold_to_address(const StoredImage& image, JobDomainPlan& plan, const std::string& address);
  static void check_login(const JobRecord& record);
  [[nodiscard]] Network choose_network(const DomainSummary& domain) const;
  std::optional<PasstNetwork> open_user_network(std::uint16_t guest_port);
  [[nodiscard]] std::uint16_t guest_port_of(const StoredImage& image) const;
  [[nodiscard]] VirtType choose_virt_type(const std::string& architecture);
  [[nodiscard]] JobRecord login_into(const StoredImage& image);
  void reach(JobRecord& record, const StoredImage& image, const Network& network, JobDomainPlan& plan);
  void log_in(JobRecord record);
  void run_prepare_script(GuestShell& shell);
  void show_console();
  void step(const std::string& what, TimePoint since);

  Parts parts_;
  JobResources resources_;
  std::function<void()> watch_;  ///< looks at what the VM writes, while it is waited for
};

}  // namespace sarde
