#pragma once

#include <cstdint>
#include <string>

namespace sarde {

/// How far a long operation has got.
struct Progress {
  std::string doing;        ///< "unpacking disk.qcow2"; a different text starts a new operation
  std::uint64_t done = 0;   ///< bytes
  std::uint64_t total = 0;  ///< bytes; 0: unknown
};

/// The interface through which stages and commands report to people. Lines go to stderr and appear in the job
/// log.
class Reporter {
 public:
  Reporter() = default;
  Reporter(const Reporter&) = delete;
  Reporter& operator=(const Reporter&) = delete;
  virtual ~Reporter() = default;

  /// Reports a step that was taken, or shows that the program is still working.
  virtual void say(const std::string& line) = 0;

  /// To be called for every step of a long operation, however small. The progress is shown from time to time.
  virtual void progress(const Progress& progress) = 0;

  /// Reports a detail that is of interest only when looking for a fault (-v).
  virtual void detail(const std::string& line) = 0;

  /// Reports something that should not be the case. It is shown even under -q.
  virtual void warn(const std::string& line) = 0;

  /// From now on, no line may show this text.
  virtual void mask(const std::string& secret) = 0;
};

}  // namespace sarde
