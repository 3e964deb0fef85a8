#pragma once

#include <cstdint>
#include <string>

namespace sarde {

/// How far some long work is.
struct Progress {
  std::string doing;        ///< "unpacking disk.qcow2"; another text begins another work
  std::uint64_t done = 0;   ///< bytes
  std::uint64_t total = 0;  ///< bytes; 0: not known
};

/// Where stages and commands speak to people. Lines go to stderr: a job log shows them.
class Reporter {
 public:
  Reporter() = default;
  Reporter(const Reporter&) = delete;
  Reporter& operator=(const Reporter&) = delete;
  virtual ~Reporter() = default;

  /// A step that was taken, or a sign of life.
  virtual void say(const std::string& line) = 0;

  /// For every step of long work, however small: shown now and then.
  virtual void progress(const Progress& progress) = 0;

  /// What only somebody who looks for a fault wants to read (-v).
  virtual void detail(const std::string& line) = 0;

  /// What should not be so, shown even under -q.
  virtual void warn(const std::string& line) = 0;

  /// A text that no line may show from now on.
  virtual void mask(const std::string& secret) = 0;
};

}  // namespace sarde
