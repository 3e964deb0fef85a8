#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "core/system/clock.hpp"

namespace sarde {

/// What happened in this process, for a monitoring system: a file in the text format of Prometheus, which
/// node_exporter's textfile collector reads (prometheus.io/docs/instrumenting/exposition_formats). The file
/// is also where the counts of earlier processes are kept.
class Metrics {
 public:
  /// A phase of a job has taken this long. `phase`: image, admission, vm, guest, prepare, script, cleanup.
  void took(std::string_view phase, std::chrono::milliseconds time);

  /// What took() was told of this phase in this process, together.
  [[nodiscard]] std::chrono::milliseconds time_of(const std::string& phase) const;

  /// An image was obtained. `how`: fetched, up_to_date (the registry was asked), cached (it was not).
  void pulled(std::string_view how, std::uint64_t fetched_bytes);

  /// A stage has failed. `stage`: prepare, run, cleanup. `kind`: job, host, stopped, and for run also script.
  void failed(std::string_view stage, std::string_view kind);

  /// Adds all of this to the file, and says how many VMs of jobs there are now. Appears whole, for all to
  /// read. Throws Error; waits up to some seconds for other processes.
  void write_to(const std::filesystem::path& file, unsigned running_vms, Clock& clock,
                Cancellation& cancellation) const;

 private:
  std::map<std::string, double> added_;  ///< by series: name{labels}
};

/// Observes a phase of a job from here to the end of the block, however it ends.
class ObservedPhase {
 public:
  ObservedPhase(Metrics& metrics, const Clock& clock, std::string_view phase)
      : metrics_(metrics), clock_(clock), phase_(phase), start_(clock.now()) {}

  ObservedPhase(const ObservedPhase&) = delete;
  ObservedPhase& operator=(const ObservedPhase&) = delete;

  ~ObservedPhase() { metrics_.took(phase_, milliseconds_between(start_, clock_.now())); }

 private:
  Metrics& metrics_;
  const Clock& clock_;
  std::string_view phase_;
  TimePoint start_;
};

}  // namespace sarde
