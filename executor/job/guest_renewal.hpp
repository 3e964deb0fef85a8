#pragma once

#include <functional>
#include <string>

#include "core/guest/guest_shell.hpp"
#include "core/system/clock.hpp"

namespace sarde {

/// What a guest that continues from a saved state has to itself afterwards.
struct Renewal {
  std::string problem = {};  ///< why it could not be done; empty: it was
  std::string random = {};   ///< 32 bytes from /dev/urandom, in hexadecimal digits
};

/// Gives a guest that has stood still, or that is one of several copies, what it must not share or lack: new
/// random numbers in its kernel, and the time of this host, to within a second. With a name, also a host name
/// and a machine ID of its own (without one, the guest keeps them: it is to be found out only whether all
/// this works). Needs a Linux guest in which the login user is root or may become root by sudo without a
/// password; and a kernel that has noticed that it was copied (VMGENID), or perl, or python3, because an
/// ioctl is needed (random(4): RNDADDENTROPY, RNDRESEEDCRNG). Blocks for less than a second, up to 20 s on a
/// loaded host. Throws Error, the host's fault, if the guest is lost, and Cancelled.
Renewal renew_guest(GuestShell& guest, const std::string& name, const std::function<void()>& watch,
                    Clock& clock, Cancellation& cancellation);

}  // namespace sarde
