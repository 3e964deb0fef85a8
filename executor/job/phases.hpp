#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "core/foundation/reporter.hpp"
#include "core/system/clock.hpp"

namespace sarde {

/// One step that takes time, from its making on.
class Phase {
 public:
  Phase(const Clock& clock, Reporter& reporter) : clock_(clock), reporter_(reporter), start_(clock.now()) {}

  /// Says what was done, and how long it took: "Started VM x (1.2 s)".
  void done(const std::string& what) const;

 private:
  const Clock& clock_;
  Reporter& reporter_;
  TimePoint start_;
};

/// Shows how far `doing` is; its arguments are bytes. The reporter has to outlive it.
std::function<void(std::uint64_t done, std::uint64_t total)> progress_of(Reporter& reporter,
                                                                         std::string doing);

/// The same for work that says by itself what it is doing.
std::function<void(const std::string& doing, std::uint64_t done, std::uint64_t total)> progress_in(
    Reporter& reporter);

}  // namespace sarde
