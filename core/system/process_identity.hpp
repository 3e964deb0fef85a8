#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

namespace sarde {

/// The kernel's identifier for the current boot (random(4)); empty if it is not available.
std::string boot_id();

/// From here on this process has the lowest priority there is, for processors and disks.
void step_back() noexcept;

/// Identifies a process. Another process that later gets the same process ID is not mistaken for it.
struct ProcessIdentity {
  pid_t pid = 0;
  std::string start;          ///< in clock ticks after boot: field 22 of proc(5)'s /proc/[pid]/stat
  std::string pid_namespace;  ///< the namespace that the process ID belongs to: pid_namespaces(7)
  std::string boot;

  [[nodiscard]] std::string text() const;

  /// Parses the result of text(). Returns nothing if the text is anything else.
  static std::optional<ProcessIdentity> parse(std::string_view text);
};

/// Returns nothing if there is no such process.
std::optional<ProcessIdentity> identity_of(pid_t pid);

/// The process that started this process's group. gitlab-runner gives each stage its own group, so this is
/// the runner, whatever wrappers are in between. Returns nothing if it cannot be determined.
std::optional<ProcessIdentity> starter_of_our_group();

/// The words of a process's command line; none if they cannot be read.
std::vector<std::string> command_line_of(pid_t pid);

/// `unknown`: the process ID has no meaning here, because it belongs to another namespace.
enum class ProcessLife { lives, ended, unknown };

ProcessLife life_of(const ProcessIdentity& process);

}  // namespace sarde
