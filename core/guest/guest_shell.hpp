#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <variant>

#include "core/system/cancellation.hpp"
#include "core/system/clock.hpp"

namespace sarde {

/// A script to run in a guest.
struct GuestScript {
  std::string content;  ///< any bytes
  std::string shell;    ///< bash, sh, pwsh: in a POSIX guest; powershell: in a Windows one
  int output = 1;       ///< descriptors that get its stdout and stderr, raw and at once
  int errors = 2;
  std::optional<TimePoint> deadline = std::nullopt;  ///< when its processes are ended
  /// Called about once a second while it runs; what it throws ends the wait for the script, and leaves.
  std::function<void()> watch = {};
};

/// How a script ended, where the connection held to its end.
struct ScriptExited {
  std::int32_t code = 0;  ///< a Windows status is a DWORD: it comes out as the int32 that it is
};

struct ScriptKilled {
  std::string signal;  ///< without SIG: TERM, KILL
};

/// A stop was asked for; the guest's processes were ended, the VM left as it is.
struct ScriptStopped {};

/// The deadline came first; the guest's processes were ended.
struct ScriptTimedOut {};

using ScriptOutcome = std::variant<ScriptExited, ScriptKilled, ScriptStopped, ScriptTimedOut>;

/// A login shell's reach into one guest, connected and logged in.
class GuestShell {
 public:
  GuestShell() = default;
  GuestShell(const GuestShell&) = delete;
  GuestShell& operator=(const GuestShell&) = delete;
  virtual ~GuestShell() = default;

  /// Uploads the script and runs it to its end, however long that takes. Throws Error, the host's fault, when
  /// the script could not be started, or within seconds when the guest or the connection is lost.
  virtual ScriptOutcome run_script(const GuestScript& script, Cancellation& cancellation) = 0;

  /// The guest's host key: `type base64`.
  [[nodiscard]] virtual std::string host_key() const = 0;
};

}  // namespace sarde
