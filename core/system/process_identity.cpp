#include "core/system/process_identity.hpp"

#include <cerrno>
#include <filesystem>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <vector>

#include "core/foundation/text.hpp"
#include "core/system/files.hpp"

namespace sarde {

namespace {

/// What proc(5) tells of a process in /proc/[pid]/stat.
struct ProcessStat {
  char state = '?';
  pid_t parent = 0;
  std::string start;
};

std::optional<ProcessStat> stat_of(pid_t pid) {
  const auto text = read_proc_file("/proc/" + std::to_string(pid) + "/stat").value_or("");
  // The name, field 2, is in parentheses and may hold anything.
  const auto name_end = text.rfind(')');
  if (name_end == std::string::npos || name_end + 2 > text.size()) return std::nullopt;
  const auto fields = split(std::string_view(text).substr(name_end + 2), ' ');  // from field 3 on
  constexpr std::size_t start_field = 22 - 3;
  if (fields.size() <= start_field || fields[0].empty()) return std::nullopt;
  return ProcessStat{.state = fields[0][0],
                     .parent = static_cast<pid_t>(parse_number(fields[1]).value_or(0)),
                     .start = fields[start_field]};
}

std::string namespace_of_ours() {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/ns/pid", error).string();
}

}  // namespace

std::vector<std::string> command_line_of(pid_t pid) {
  const auto text = read_proc_file("/proc/" + std::to_string(pid) + "/cmdline").value_or("");
  auto words = split(text, '\0');
  if (!words.empty() && words.back().empty()) words.pop_back();
  return words;
}

std::string boot_id() {
  return trimmed(read_proc_file("/proc/sys/kernel/random/boot_id").value_or(""));
}

void step_back() noexcept {
  constexpr int lowest = 19;
  constexpr int this_process = 1;      // IOPRIO_WHO_PROCESS (ioprio_set(2); glibc has no header for it)
  constexpr int idle_class = 3 << 13;  // IOPRIO_CLASS_IDLE
  static_cast<void>(::setpriority(PRIO_PROCESS, 0, lowest));
  static_cast<void>(::syscall(SYS_ioprio_set, this_process, 0, idle_class));
}

std::string ProcessIdentity::text() const {
  return std::to_string(pid) + " " + start + " " + pid_namespace + " " + boot;
}

std::optional<ProcessIdentity> ProcessIdentity::parse(std::string_view text) {
  const auto words = split(trimmed(text), ' ');
  if (words.size() != 4) return std::nullopt;
  const auto pid = parse_number(words[0]);
  if (!pid || *pid == 0 || *pid > 0x7fffffff) return std::nullopt;
  return ProcessIdentity{
      .pid = static_cast<pid_t>(*pid), .start = words[1], .pid_namespace = words[2], .boot = words[3]};
}

std::optional<ProcessIdentity> identity_of(pid_t pid) {
  const auto stat = stat_of(pid);
  if (!stat) return std::nullopt;
  return ProcessIdentity{
      .pid = pid, .start = stat->start, .pid_namespace = namespace_of_ours(), .boot = boot_id()};
}

std::optional<ProcessIdentity> starter_of_our_group() {
  const auto leader = stat_of(::getpgrp());
  // 0: in another namespace; 1: the starter has ended, and init took its place.
  if (!leader || leader->parent <= 1) return std::nullopt;
  return identity_of(leader->parent);
}

ProcessLife life_of(const ProcessIdentity& process) {
  if (process.boot != boot_id()) return ProcessLife::ended;
  if (process.pid_namespace.empty() || process.pid_namespace != namespace_of_ours())
    return ProcessLife::unknown;
  if (::kill(process.pid, 0) != 0 && errno == ESRCH) return ProcessLife::ended;
  const auto stat = stat_of(process.pid);
  if (!stat) return ProcessLife::unknown;  // /proc may hide others' processes
  const bool is_dead = stat->state == 'Z' || stat->state == 'X';
  return stat->start == process.start && !is_dead ? ProcessLife::lives : ProcessLife::ended;
}

}  // namespace sarde
