#include "core/vm/libvirt/disk_copying.hpp"

#include <chrono>
#include <optional>
#include <thread>

#include "core/foundation/error.hpp"
#include "core/vm/domain/domain_reading.hpp"
#include "core/vm/libvirt/libvirt_errors.hpp"

namespace sarde {

namespace {

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

bool thaw(const Domain& domain) {
  constexpr int tries = 3;
  for (int i = 0; i < tries; ++i) {
    if (virDomainFSThaw(domain.get(), nullptr, 0, 0) >= 0) return true;
    std::this_thread::sleep_for(std::chrono::seconds(1));
  }
  return false;
}

/// Is the copying still under way? Throws Error if it ended otherwise than well.
bool copying(const Domain& domain, const std::string& doing,
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

std::string still_frozen(const std::string& vm) {
  return "; and the guest's file systems are still frozen: 'virsh domfsthaw " + vm + "' thaws them";
}

}  // namespace

GuestFileSystems copy_disks_of(const Domain& domain, const std::string& name,
                               const std::vector<DiskCopy>& copies,
                               const std::function<void(std::uint64_t, std::uint64_t)>& progress) {
  const auto doing = "copy the disks of VM '" + name + "'";
  const auto xml = taken(virDomainGetXMLDesc(domain.get(), 0), doing);
  const auto order = backup_order(copies, disk_targets(xml));
  const bool frozen = virDomainFSFreeze(domain.get(), nullptr, 0, 0) >= 0;
  const bool begun = virDomainBackupBegin(domain.get(), order.c_str(), nullptr, 0) == 0;
  const std::string why = begun ? "" : last_error_text();
  const bool thawed = !frozen || thaw(domain);
  const auto frozen_still = thawed ? "" : still_frozen(name);
  if (!begun) throw Error(doing + ": " + why + frozen_still);
  try {
    while (copying(domain, doing, progress)) std::this_thread::sleep_for(std::chrono::milliseconds(100));
  } catch (const Cancelled&) {
    virDomainAbortJob(domain.get());
    throw;
  } catch (const Error& error) {
    virDomainAbortJob(domain.get());
    throw Error(error.blame(), error.what() + frozen_still);
  }
  if (!thawed) return GuestFileSystems::still_frozen;
  return frozen ? GuestFileSystems::frozen : GuestFileSystems::running;
}

}  // namespace sarde
