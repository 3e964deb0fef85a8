#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "core/foundation/reporter.hpp"
#include "core/system/clock.hpp"

namespace sarde {

/// Writes lines to a descriptor, masks secrets, and cleans what it writes (printable_line()), because lines
/// may contain text from registries, images and guests. Verbosity: 0 shows warnings only, 1 also steps, 2
/// also details. Progress is shown as a bar in the last line of a terminal, otherwise as a line every five
/// seconds. May be used by several threads.
class ConsoleReporter final : public Reporter {
 public:
  struct Form {
    bool sections = false;  ///< sections are marked as GitLab's job logs want it
                            ///< (docs.gitlab.com/ee/ci/jobs/job_logs: "Custom collapsible sections")
    bool colours = false;   ///< coloured()
  };

  ConsoleReporter(int fd, unsigned verbosity, const Clock& clock, Form form);
  ConsoleReporter(const ConsoleReporter&) = delete;
  ConsoleReporter& operator=(const ConsoleReporter&) = delete;
  ~ConsoleReporter() override;

  void say(const std::string& line) override;
  void progress(const Progress& progress) override;
  void detail(const std::string& line) override;
  void warn(const std::string& line) override;
  void begin_section(const std::string& name, const std::string& title) override;
  void end_section(const std::string& name) override;
  void mask(const std::string& secret) override;

 private:
  [[nodiscard]] std::string masked(std::string text) const;
  void write(const std::string& text) const;
  void write_line(const std::string& line);
  void clear_bar();

  std::mutex mutex_;
  int fd_;
  unsigned verbosity_;
  const Clock& clock_;
  bool has_sections_;
  bool has_colours_;
  bool is_terminal_;
  bool bar_is_shown_ = false;
  std::string doing_;
  TimePoint begun_{};
  TimePoint next_{};
  std::uint64_t done_at_start_ = 0;
  std::vector<std::string> secrets_;
};

/// "  unpacking disk.qcow2: 1.2 GB of 4.0 GB, 30 %, 210.0 MB/s, 13.3 s left"; values that are not
/// known are left out. `done_before`: bytes that were already done when the work began.
std::string progress_text(const Progress& progress, std::uint64_t done_before,
                          std::chrono::milliseconds since_start);

}  // namespace sarde
