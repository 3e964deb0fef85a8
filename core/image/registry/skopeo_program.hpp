#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/image/registry/skopeo_settings.hpp"
#include "core/system/cancellation.hpp"
#include "core/system/clock.hpp"
#include "core/system/environment.hpp"
#include "core/system/subprocess.hpp"

namespace sarde {

/// One start of skopeo.
struct SkopeoCall {
  std::string doing;                                          ///< begins its messages
  std::vector<std::string> arguments;                         ///< without the program's name
  std::string input = {};                                     ///< for its standard input
  std::function<void(const RunningProgram&)> heartbeat = {};  ///< called every 100 ms; what it throws ends it
};

/// Runs skopeo and tells what its failures mean. The settings, the environment, the clock and the
/// cancellation must outlive it.
class SkopeoProgram {
 public:
  SkopeoProgram(const SkopeoSettings& settings, const Environment& environment, Clock& clock,
                Cancellation& cancellation)
      : settings_(settings), environment_(environment), clock_(clock), cancellation_(cancellation) {}

  /// Returns what skopeo wrote to its standard output. Throws Cancelled, AccessDenied, and Error.
  std::string run(const SkopeoCall& call) const;

  /// `option`=false for a registry that may be spoken to without verified TLS; else nothing, and skopeo's own
  /// files decide (containers-registries.conf(5)).
  [[nodiscard]] std::vector<std::string> tls(const std::string& option, const std::string& registry) const;

 private:
  const SkopeoSettings& settings_;
  const Environment& environment_;
  Clock& clock_;
  Cancellation& cancellation_;
};

}  // namespace sarde
