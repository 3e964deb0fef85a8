#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "core/foundation/reporter.hpp"
#include "core/guest/guest_shell.hpp"
#include "core/image/store/stored_image.hpp"
#include "core/job/job_record.hpp"
#include "core/system/clock.hpp"
#include "core/vm/machines.hpp"
#include "core/vm/vm_name.hpp"
#include "executor/job/guest_login.hpp"

namespace sarde {

/// The administrator's settings for guests that are set up for each job.
struct CloudRules {
  /// `agent`: not through cloud-init, but with a key that the guest's agent takes.
  enum class When { never, if_image_says, always, agent };
  When when = When::if_image_says;
  std::filesystem::path user_data = {};  ///< a file, merged in; empty: none
};

/// A guest's setup: how to log in, and the disk that tells cloud-init so (empty: the guest is set up
/// already).
struct GuestSetup {
  GuestLogin login;
  std::filesystem::path seed = {};
  std::string key_for_agent = {};  ///< public; for the guest's agent to put in. Empty: none
};

/// Sets up guests made of cloud images as they come, through cloud-init's NoCloud data source: a small disk
/// labelled CIDATA has the login user, with a key that is made for this job alone, the VM's name as its host
/// name, and the administrator's user data. (docs.cloud-init.io, "NoCloud", "User data formats", "Merging".)
class CloudSeeds {
 public:
  struct Parts {
    CloudRules rules;
    std::vector<std::pair<std::string, std::string>> environment;  ///< of xorriso
    Clock& clock;
    Cancellation& cancellation;
    Reporter& reporter;
  };

  explicit CloudSeeds(Parts parts) : parts_(std::move(parts)) {}

  /// Where cloud-init is wanted, makes key and disk in the job's folder, and returns a login with that key.
  /// The private key never leaves the folder. Throws Error.
  GuestSetup set_up(const StoredImage& image, GuestLogin login, const JobFolder& folder, const VmName& name);

  /// Waits until the guest's agent has taken the key for the login user. Throws Error, Cancelled.
  void authorize(Machines& machines, const VmName& vm, const GuestSetup& setup,
                 const std::function<void()>& watch, TimePoint deadline);

  /// Waits until cloud-init has done all, packages and scripts of the administrator's included. Throws Error
  /// at the deadline; warns if cloud-init reports errors.
  void await(GuestShell& guest, const std::function<void()>& watch, TimePoint deadline);

 private:
  void write_disk(const std::filesystem::path& folder, const std::filesystem::path& disk);

  Parts parts_;
};

/// cloud-init's user data (a MIME message): the user with this public key, and, if it is not empty, the
/// administrator's.
std::string cloud_user_data(const std::string& username, const std::string& public_key,
                            const std::string& of_administrator);

}  // namespace sarde
