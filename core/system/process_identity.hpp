#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>

namespace sarde {

/// The kernel's name for the time since it started (random(4)); empty where it does not tell.
std::string boot_id();

/// A process, named so that another one which gets its number later is not taken for it.
struct ProcessIdentity {
  pid_t pid = 0;
  std::string start;          ///< in clock ticks after boot: field 22 of proc(5)'s /proc/[pid]/stat
  std::string pid_namespace;  ///< in which the number counts: pid_namespaces(7)
  std::string boot;

  [[nodiscard]] std::string text() const;

  /// Reads what text() gave; nothing if it is anything else.
  static std::optional<ProcessIdentity> parse(std::string_view text);
};

/// Nothing if there is no such process.
std::optional<ProcessIdentity> identity_of(pid_t pid);

/// Who started this process's group. gitlab-runner gives each stage a group of its own, so that is the
/// runner, whatever wrappers are in between. Nothing if that cannot be told.
std::optional<ProcessIdentity> starter_of_our_group();

/// `unknown`: its number means nothing here, for it counts in another namespace.
enum class ProcessLife { lives, ended, unknown };

ProcessLife life_of(const ProcessIdentity& process);

}  // namespace sarde
