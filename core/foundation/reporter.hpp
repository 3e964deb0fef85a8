#pragma once

#include <cstdint>
#include <string>
#include <utility>

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

  /// What is said until end_section() belongs together, for logs that can fold it away. `name`: letters and
  /// underscores, once in a log.
  virtual void begin_section(const std::string& /*name*/, const std::string& /*title*/) {}

  virtual void end_section(const std::string& /*name*/) {}

  /// From now on, no line may show this text.
  virtual void mask(const std::string& secret) = 0;
};

/// A section of the log, from here to the end of the block.
class Section {
 public:
  Section(Reporter& reporter, std::string name, const std::string& title)
      : reporter_(reporter), name_(std::move(name)) {
    reporter_.begin_section(name_, title);
  }

  Section(const Section&) = delete;
  Section& operator=(const Section&) = delete;

  ~Section() { reporter_.end_section(name_); }

 private:
  Reporter& reporter_;
  std::string name_;
};

}  // namespace sarde
