#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/guest/guest_shell.hpp"
#include "core/guest/ssh_target.hpp"
#include "core/job/job_record.hpp"

namespace sarde {

// Logging in takes a guest from a tenth of a second to several, and a job has about eight scripts. So a
// companion process of the job keeps one connection to the guest, and the stages hand it their scripts, over
// a socket in the job's folder that only this account may use. Whatever is wrong with it, a stage connects to
// the guest itself.

/// How a job's guest is reached, from what `prepare` noted.
SshTarget target_of(const JobRecord& record);

/// Starts the companion of a job that is prepared. Throws Error.
void start_door_keeper(const JobFolder& folder,
                       const std::vector<std::pair<std::string, std::string>>& environment);

/// Ends it. Throws Error if it does not end.
void stop_door_keeper(const JobFolder& folder);

/// The companion itself: `argument` is the job's folder, and descriptor 3 its socket. Returns when the
/// connection is lost, or SIGTERM comes.
int keep_door(const std::string& argument);

/// The name under which this program is the companion.
inline constexpr auto door_keeper_name = "sarde-door-keeper";

/// A shell in the job's guest that is the companion's. Null if there is none that is ready within some
/// seconds. `vm_is_gone` is asked if the guest does not take a script at once. Throws Cancelled.
std::unique_ptr<GuestShell> open_kept_door(const JobFolder& folder, const std::function<bool()>& vm_is_gone,
                                           Cancellation& cancellation);

}  // namespace sarde
