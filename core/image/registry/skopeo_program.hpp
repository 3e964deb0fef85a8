#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/image/registry/skopeo_errors.hpp"
#include "core/image/registry/skopeo_settings.hpp"
#include "core/system/cancellation.hpp"
#include "core/system/clock.hpp"
#include "core/system/environment.hpp"
#include "core/system/subprocess.hpp"

namespace sarde {

/// One start of skopeo.
struct SkopeoCall {
  std::string doing;                   ///< begins its messages
  std::vector<std::string> arguments;  ///< without the program's name
  std::string input = {};              ///< for its standard input
  /// Called every 100 ms, in pauses between two tries too (with pid 0); what it throws ends it.
  std::function<void(const RunningProgram&)> heartbeat = {};
  /// The bytes that need not be transferred again, if that is known. A try that adds to them does not count.
  std::function<std::uint64_t()> achieved = {};
  /// May add to what is said about a failure.
  std::function<void(SkopeoFailure&)> explain = {};
};

/// The tries of one task at a registry. What may pass (a busy registry, a connection that breaks) is tried
/// again, after pauses of 1, 2, 4, 8 and 16 s, within the settings' timeout; each time is announced. What it
/// is made from must outlive it.
class SkopeoTries {
 public:
  /// `doing` begins its messages. `heartbeat` is called every 100 ms in a pause; what it throws ends it.
  SkopeoTries(const SkopeoSettings& settings, Clock& clock, Cancellation& cancellation, std::string doing,
              std::function<void()> heartbeat = {});

  [[nodiscard]] TimePoint deadline() const { return deadline_; }

  /// From here on it is another transfer.
  void begin_again();

  /// Something has come that need not come again: the failures before it do not count.
  void note_progress() { failures_ = 0; }

  /// Returns when it is time for another try. Throws what the failure means if there is to be none, and
  /// Cancelled.
  void wait_after(SkopeoFailure failure);

 private:
  const SkopeoSettings& settings_;
  Clock& clock_;
  Cancellation& cancellation_;
  std::string doing_;
  std::function<void()> heartbeat_;
  TimePoint deadline_;
  unsigned failures_ = 0;
};

/// Runs skopeo and tells what its failures mean. The settings, the environment, the clock and the
/// cancellation must outlive it.
class SkopeoProgram {
 public:
  SkopeoProgram(const SkopeoSettings& settings, const Environment& environment, Clock& clock,
                Cancellation& cancellation)
      : settings_(settings), environment_(environment), clock_(clock), cancellation_(cancellation) {}

  /// Returns what skopeo wrote to its standard output, after as many tries as SkopeoTries lets it have.
  /// Throws Cancelled, AccessDenied, and Error.
  std::string run(const SkopeoCall& call) const;

  /// `option`=false for a registry that may be spoken to without verified TLS; else nothing, and skopeo's own
  /// files decide (containers-registries.conf(5)).
  [[nodiscard]] std::vector<std::string> tls(const std::string& option, const std::string& registry) const;

 private:
  static constexpr std::chrono::milliseconds heartbeat_every{100};

  ProgramResult run_once(const SkopeoCall& call, TimePoint deadline) const;

  const SkopeoSettings& settings_;
  const Environment& environment_;
  Clock& clock_;
  Cancellation& cancellation_;
};

}  // namespace sarde
