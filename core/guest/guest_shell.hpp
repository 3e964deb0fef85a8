#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <variant>

#include "core/system/cancellation.hpp"

namespace sarde {

/// A script to run in a guest.
struct GuestScript {
  std::string content;  ///< any bytes
  std::string shell;    ///< bash, sh, pwsh: in a POSIX guest; powershell: in a Windows one
  int output = 1;       ///< descriptors that get its stdout and stderr, raw and at once
  int errors = 2;
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

using ScriptOutcome = std::variant<ScriptExited, ScriptKilled, ScriptStopped>;

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
