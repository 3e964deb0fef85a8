#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/foundation/reporter.hpp"
#include "core/foundation/text.hpp"
#include "core/system/clock.hpp"

namespace sarde {

/// A step that takes time. It starts when this object is created.
class Phase {
 public:
  Phase(const Clock& clock, Reporter& reporter) : clock_(clock), reporter_(reporter), start_(clock.now()) {}

  /// Reports what was done and how long it took: "Started VM x (1.2 s)".
  void done(const std::string& what) const;

 private:
  const Clock& clock_;
  Reporter& reporter_;
  TimePoint start_;
};

/// Does the work, and reports under -v what it was and how long it took.
template <typename Work>
auto timed(const Clock& clock, Reporter& reporter, const std::string& what, Work work) {
  struct Report {
    const Clock& clock;
    Reporter& reporter;
    const std::string& what;
    TimePoint start = clock.now();

    ~Report() {
      reporter.detail("  " + what + " (" + duration_text(milliseconds_between(start, clock.now())) + ")");
    }
  };

  const Report report{.clock = clock, .reporter = reporter, .what = what};
  return work();
}

struct PhaseTime {
  std::string name;
  std::chrono::milliseconds time;
};

/// A line for each phase, one after the other, with a bar: where it lies in all of the time, and how long it is.
std::vector<std::string> phase_chart(const std::vector<PhaseTime>& phases);

/// Returns a function that shows the progress of `doing`, in bytes. The reporter must outlive it.
std::function<void(std::uint64_t done, std::uint64_t total)> progress_of(Reporter& reporter,
                                                                         std::string doing);

/// The same for work that states what it is doing with each call.
std::function<void(const std::string& doing, std::uint64_t done, std::uint64_t total)> progress_in(
    Reporter& reporter);

}  // namespace sarde
