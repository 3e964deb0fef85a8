#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/foundation/error.hpp"
#include "core/system/cancellation.hpp"
#include "core/system/clock.hpp"

namespace sarde {

/// What a script's environment has beside what the guest gives it. Both hold no character that a shell or
/// PowerShell would take for more than itself.
struct ScriptEnvironment {
  std::string timezone = {};  ///< TZ; empty: the guest's own
  std::string folder = {};    ///< at the end of PATH; empty: nothing
};

/// A script to run in a guest.
struct GuestScript {
  std::string content;  ///< any bytes
  std::string shell;    ///< bash, sh, pwsh: in a POSIX guest; powershell: in a Windows guest
  ScriptEnvironment environment = {};
  int output = 1;  ///< descriptors that receive its stdout and stderr, unchanged and at once
  int errors = 2;
  std::optional<TimePoint> deadline = std::nullopt;  ///< the time at which its processes are ended
  /// Called about once a second while the script runs. If it throws, the wait for the script ends and the
  /// exception is passed on.
  std::function<void()> watch = {};
};

/// How a script ended, provided that the connection lasted until its end.
struct ScriptExited {
  std::int32_t code = 0;  ///< a Windows status is a DWORD; it is given here as an int32
};

struct ScriptKilled {
  std::string signal;  ///< without SIG: TERM, KILL
};

/// What is left of a script whose processes were ended from outside. Each is described as "name (number)".
struct RemainingProcesses {
  std::vector<std::string> of_script = {};  ///< that do not end
  std::vector<std::string> others = {};     ///< of other users, started since the script began (a container?)
  std::string problem = {};                 ///< why they could not be ended; empty: they were
};

/// A stop was requested. The script's processes were ended, and the VM was left as it is.
struct ScriptStopped {
  RemainingProcesses remaining = {};
};

/// The deadline passed first. The script's processes were ended.
struct ScriptTimedOut {};

using ScriptOutcome = std::variant<ScriptExited, ScriptKilled, ScriptStopped, ScriptTimedOut>;

/// The guest could not be told to run the script, so it has done nothing; on another connection, it may.
class ScriptNotBegun : public Error {
 public:
  using Error::Error;
};

/// Access to a login shell in one guest, connected and logged in.
class GuestShell {
 public:
  GuestShell() = default;
  GuestShell(const GuestShell&) = delete;
  GuestShell& operator=(const GuestShell&) = delete;
  virtual ~GuestShell() = default;

  /// Uploads the script and runs it until it ends, however long that takes. Throws an Error with the host at
  /// fault if the script could not be started (ScriptNotBegun if the guest does not know of it) or, within
  /// seconds, if the guest or the connection is lost.
  virtual ScriptOutcome run_script(const GuestScript& script, Cancellation& cancellation) = 0;

  /// While no script runs: handles what the guest sends, for at most `longest`, or until `wake_fd` is
  /// readable. Returns false if the connection is lost.
  virtual bool rest(std::chrono::milliseconds longest, int wake_fd) = 0;

  /// The guest wanted neither a key nor a password.
  [[nodiscard]] virtual bool is_open_to_all() const { return false; }

  /// The guest's host key: `type base64`.
  [[nodiscard]] virtual std::string host_key() const = 0;
};

}  // namespace sarde
