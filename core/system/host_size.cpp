#include "core/system/host_size.hpp"

#include <algorithm>
#include <filesystem>
#include <unistd.h>

#include "core/foundation/text.hpp"
#include "core/system/files.hpp"

namespace sarde {

HostSize host_size() {
  const auto pages = static_cast<std::uint64_t>(std::max(0L, ::sysconf(_SC_PHYS_PAGES)));
  const auto page = static_cast<std::uint64_t>(std::max(0L, ::sysconf(_SC_PAGESIZE)));
  return {.memory_mib = pages * page >> 20U,
          .processors = static_cast<unsigned>(std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN)))};
}

namespace {

/// A value of /proc/meminfo, which are in kB.
std::uint64_t meminfo_mib(const std::string& meminfo, const std::string& key) {
  for (const auto& line : split(meminfo, '\n')) {
    if (!line.starts_with(key + ":")) continue;
    const auto number = trimmed(line.substr(key.size() + 1));
    return parse_number(number.substr(0, number.find(' '))).value_or(0) / 1024;
  }
  return 0;
}

/// Resident memory of a process: the second number of proc(5)'s statm, in pages.
std::uint64_t resident_mib(const std::filesystem::path& process) {
  const auto fields = split(read_proc_file(process / "statm").value_or(""), ' ');
  const auto pages = fields.size() > 1 ? parse_number(fields[1]).value_or(0) : 0;
  return pages * static_cast<std::uint64_t>(std::max(0L, ::sysconf(_SC_PAGESIZE))) >> 20U;
}

/// libvirt starts QEMU with `-name guest=NAME,…`.
bool is_qemu_of(const std::string& command_line, const std::vector<std::string>& vms) {
  constexpr std::string_view argument = "guest=";
  const auto at = command_line.find(argument);
  if (at == std::string::npos) return false;
  const auto name = command_line.substr(at + argument.size());
  return std::ranges::find(vms, name.substr(0, name.find_first_of(std::string_view(",\0", 2)))) != vms.end();
}

}  // namespace

HostMemory host_memory(const std::vector<std::string>& vms) {
  const auto meminfo = read_proc_file("/proc/meminfo").value_or("");
  HostMemory memory{.total_mib = meminfo_mib(meminfo, "MemTotal"),
                    .available_mib = meminfo_mib(meminfo, "MemAvailable")};
  if (vms.empty()) return memory;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
    if (!parse_number(entry.path().filename().string())) continue;
    if (is_qemu_of(read_proc_file(entry.path() / "cmdline").value_or(""), vms))
      memory.of_vms_mib += resident_mib(entry.path());
  }
  return memory;
}

}  // namespace sarde
