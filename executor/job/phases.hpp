#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "core/foundation/reporter.hpp"
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

/// Returns a function that shows the progress of `doing`, in bytes. The reporter must outlive it.
std::function<void(std::uint64_t done, std::uint64_t total)> progress_of(Reporter& reporter,
                                                                         std::string doing);

/// The same for work that states what it is doing with each call.
std::function<void(const std::string& doing, std::uint64_t done, std::uint64_t total)> progress_in(
    Reporter& reporter);

}  // namespace sarde
