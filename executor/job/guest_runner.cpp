#include "executor/job/guest_runner.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <elf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <span>
#include <sys/stat.h>
#include <unistd.h>

#include "core/foundation/digest.hpp"
#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/foundation/unique_fd.hpp"
#include "core/image/disk/gzip_stream.hpp"
#include "core/system/file_lock.hpp"
#include "core/system/files.hpp"
#include "core/system/subprocess.hpp"
#include "core/system/temp_files.hpp"
#include "executor/job/guest_answer.hpp"
#include "executor/job/phases.hpp"

namespace sarde {

namespace fs = std::filesystem;

namespace {

constexpr auto serial = "gitlab-runner";
constexpr auto consequence = "artifacts and caches of this job will not work (guest-runner)";

/// libvirt's name of an architecture, GitLab's in the names of its downloads, and what an ELF file says
/// (elf(5): e_machine, EI_CLASS, EI_DATA).
struct Machine {
  std::string_view libvirt;
  std::string_view gitlab;
  std::uint16_t elf;
  unsigned char word = ELFCLASS64;
  unsigned char order = ELFDATA2LSB;
};

constexpr std::array<Machine, 8> machines{{{"x86_64", "amd64", EM_X86_64},
                                           {"i686", "386", EM_386, ELFCLASS32},
                                           {"aarch64", "arm64", EM_AARCH64},
                                           {"armv7l", "arm", EM_ARM, ELFCLASS32},
                                           {"ppc64le", "ppc64le", EM_PPC64},
                                           {"ppc64", "ppc64le", EM_PPC64},
                                           {"s390x", "s390x", EM_S390, ELFCLASS64, ELFDATA2MSB},
                                           {"riscv64", "riscv64", EM_RISCV}}};

const Machine* machine_of(const std::string& architecture) {
  for (const auto& machine : machines)
    if (machine.libvirt == architecture) return &machine;
  return nullptr;
}

std::string start_of(const fs::path& file, std::size_t count) {
  const UniqueFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  std::string bytes(count, '\0');
  const auto got = fd ? ::read(fd.get(), bytes.data(), count) : -1;
  if (got < 0) throw Error("read " + file.string() + ": " + errno_text(errno));
  bytes.resize(static_cast<std::size_t>(got));
  return bytes;
}

/// Why the file is no program for the machine; empty if it is one. (An amd64 guest could run a 386 program,
/// but nobody offers one for it.)
std::string misfit(const fs::path& file, const Machine& machine) {
  const auto head = start_of(file, sizeof(Elf32_Ehdr));
  if (head.size() < sizeof(Elf32_Ehdr) || !head.starts_with(ELFMAG)) return "it is not a Linux program (ELF)";
  const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(head[at]); };
  const auto order = byte(EI_DATA);
  constexpr std::size_t machine_at = offsetof(Elf32_Ehdr, e_machine);  // the same in both classes
  const unsigned low = byte(machine_at + (order == ELFDATA2MSB ? 1 : 0));
  const unsigned high = byte(machine_at + (order == ELFDATA2MSB ? 0 : 1));
  const auto elf = high << 8U | low;
  if (elf == machine.elf && order == machine.order && byte(EI_CLASS) == machine.word) return "";
  for (const auto& other : machines)
    if (other.elf == elf) return "it is a program for " + std::string(other.libvirt);
  return "it is a program for another machine (ELF machine " + std::to_string(elf) + ")";
}

/// Another name whenever the binary is another one.
std::string cache_name(const fs::path& binary, const struct stat& status) {
  const auto identity = fmt::format("{} {} {} {}.{}", binary.string(), status.st_ino, status.st_size,
                                    status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
  return "gitlab-runner-" + Digest::of(identity).hex().substr(0, 16) + ".ext4";
}

/// Prints `has` if the guest has gitlab-runner, `at FOLDER` if it could mount the disk there, else `none`.
/// The disk is found by its serial number, with or without udev.
constexpr auto mount_script = R"sh(PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
command -v gitlab-runner >/dev/null 2>&1 && {{ echo has; exit 0; }}
d=/run/{0}
for s in /sys/block/*/serial; do
  [ "$(cat "$s" 2>/dev/null)" = {0} ] || continue
  b=${{s%/serial}}; b=/dev/${{b##*/}}
  as=; [ "$(id -u)" = 0 ] || as="sudo -n"
  $as sh -c "mkdir -p $d && mount -t ext4 -o ro,nosuid,nodev $b $d" >/dev/null 2>&1
  set -- $(ls -ln $d/gitlab-runner 2>/dev/null)
  [ "$5" = {1} ] && [ -x $d/gitlab-runner ] && {{ echo "at $d"; exit 0; }}
done
echo none
)sh";

/// The binary follows behind the last line. Prints `at FOLDER`.
constexpr auto unpack_script = R"sh(for d in "$HOME/.cache/{0}" /var/tmp/{0}-$(id -u) /tmp/{0}-$(id -u); do
  case $d in *[!A-Za-z0-9_./-]*) continue;; esac
  mkdir -p "$d" && chmod 700 "$d" && [ -O "$d" ] && tail -n +{2} "$0" | gzip -dc >"$d/gitlab-runner" || continue
  chmod 755 "$d/gitlab-runner" && set -- $(ls -ln "$d/gitlab-runner")
  [ "$5" = {1} ] && {{ echo "at $d"; exit 0; }}
done 2>/dev/null
echo none
exit 0
)sh";

}  // namespace

std::filesystem::path runner_of_host(pid_t starter, const std::string& path) {
  constexpr std::string_view name = "gitlab-runner";
  std::error_code error;
  const auto program = fs::read_symlink("/proc/" + std::to_string(starter) + "/exe", error);
  if (!error && program.filename().string().starts_with(name) && fs::exists(program, error)) return program;
  for (const auto& folder : split(path, ':')) {
    const auto file = fs::path(folder) / name;
    if (folder.starts_with('/') && ::access(file.c_str(), X_OK) == 0 && fs::is_regular_file(file, error))
      return fs::canonical(file, error);
  }
  return {};
}

/// Empty if there is none that fits; `why_not_` says why.
fs::path GuestRunners::binary_for(const std::string& architecture) {
  const auto& rules = parts_.rules;
  const auto* machine = machine_of(architecture);
  auto file = rules.wanted == "auto" ? rules.of_host : fs::path(rules.wanted);
  if (file.empty()) {
    why_not_ = "this host has no gitlab-runner in PATH to put there";
    return {};
  }
  if (machine == nullptr) {
    why_not_ = "there is no gitlab-runner for " + architecture;
    return {};
  }
  if (fs::is_directory(file)) {
    file /= "gitlab-runner-linux-" + std::string(machine->gitlab);
    if (!fs::exists(file)) {
      why_not_ = file.string() + " is not there";
      return {};
    }
  }
  std::string reason;
  try {
    reason = misfit(file, *machine);
  } catch (const Error& error) {
    if (rules.wanted != "auto") throw Error(std::string("guest-runner: ") + error.what());
    reason = error.what();
  }
  if (!reason.empty()) {
    why_not_ = file.string() + " cannot be used in a guest of " + architecture + ": " + reason;
    return {};
  }
  return file;
}

std::optional<OwnDisk> GuestRunners::disk_for(const std::string& architecture) {
  const auto& rules = parts_.rules;
  if (rules.wanted == "none") return std::nullopt;
  if (rules.shell == "powershell") {
    why_not_ = "it is not put into Windows guests";
    return std::nullopt;
  }
  binary_ = binary_for(architecture);
  if (binary_.empty()) return std::nullopt;

  struct stat status {};

  if (::stat(binary_.c_str(), &status) != 0)
    throw Error("guest-runner: " + binary_.string() + ": " + errno_text(errno));
  const auto disk = rules.cache / cache_name(binary_, status);
  const OwnDisk own{.file = disk, .format = "raw", .serial = serial, .ownership = DiskOwnership::shared};
  try {
    make_disk(disk, static_cast<std::uint64_t>(status.st_size));
    return own;
  } catch (const Cancelled&) {
    throw;
  } catch (const std::exception& error) {
    parts_.reporter.detail("Could not make a disk with " + binary_.string() +
                           ", which is sent to each guest instead: " + error.what());
    return std::nullopt;
  }
}

/// Makes the disk unless it is there. Others that nobody has used for days are removed: an older version's.
void GuestRunners::make_disk(const fs::path& disk, std::uint64_t size) {
  constexpr std::chrono::minutes patience(2);
  constexpr std::chrono::hours unused_for(7 * 24);
  const auto& cache = parts_.rules.cache;
  make_folders(cache, 0700);
  const auto deadline = parts_.clock.now() + patience;
  const auto lock = FileLock::wait_for(
      cache / "lock", {.clock = parts_.clock, .cancellation = parts_.cancellation, .deadline = deadline});
  set_modified_now(disk);
  if (fs::exists(disk)) return;
  const Phase phase(parts_.clock, parts_.reporter);
  const auto work = TempFolder::in(cache.parent_path(), ".incoming-", 0700);
  const auto content = work.path() / "content";
  const auto image = work.path() / "image";
  fs::create_directory(content);
  fs::permissions(content, fs::perms(0755));
  fs::copy_file(binary_, content / "gitlab-runner");
  fs::permissions(content / "gitlab-runner", fs::perms(0755));
  // The file system's own tables need a few per cent.
  constexpr std::uint64_t spare = 4U << 20U;
  const auto kib = std::to_string((size + size / 16 + spare) / 1024);
  const auto made =
      run_program({.argv = {"/sbin/mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-N", "16",
                            "-E", "root_owner=0:0", "-d", content.string(), image.string(), kib},
                   .environment = parts_.environment},
                  {.clock = parts_.clock, .cancellation = parts_.cancellation, .deadline = deadline});
  if (!made.succeeded()) throw Error("mke2fs: " + quote(trimmed(made.errors)));
  for (const auto& old : folder_entries(cache)) {
    std::error_code gone;
    const auto age = fs::file_time_type::clock::now() - fs::last_write_time(old, gone);
    if (!gone && old.extension() == ".ext4" && age > unused_for) remove_if_there(old);
  }
  fs::rename(image, disk);
  phase.done("Made a disk with " + binary_.string() + " for guests");
}

std::string GuestRunners::put_in(GuestShell& guest, const std::function<void()>& watch) {
  if (parts_.rules.wanted == "none") return "";
  const Phase phase(parts_.clock, parts_.reporter);
  if (parts_.rules.shell == "powershell") {
    const auto program = "if (Get-Command gitlab-runner -ErrorAction SilentlyContinue) { 'has' }\n";
    if (!ask(guest, "powershell", program, watch).starts_with("has")) warn_of_none();
    return "";
  }
  const auto size = binary_.empty() ? std::string("none") : std::to_string(fs::file_size(binary_));
  auto said = ask(guest, "sh", fmt::format(mount_script, serial, size), watch);
  if (said == "has") return "";
  if (said == "none" && !binary_.empty()) said = send(guest, watch);
  constexpr std::string_view at = "at ";
  if (!said.starts_with(at)) {
    warn_of_none();
    return "";
  }
  phase.done("Put gitlab-runner into the VM, for artifacts and caches");
  return said.substr(at.size());
}

void GuestRunners::warn_of_none() {
  parts_.reporter.warn("WARNING: the guest has no gitlab-runner, and " +
                       (why_not_.empty() ? "it could not be put there" : why_not_) + ": " + consequence);
}

/// The first line of what the script prints.
std::string GuestRunners::ask(GuestShell& guest, const std::string& shell, const std::string& script,
                              const std::function<void()>& watch) {
  const auto said = ask_guest(guest,
                              {.content = script,
                               .shell = shell,
                               .deadline = parts_.clock.now() + parts_.rules.timeout,
                               .watch = watch},
                              parts_.cancellation);
  const auto line = split(said.text, '\n').front();
  // It becomes a part of commands.
  constexpr auto harmless = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./- ";
  return line.find_first_not_of(harmless) == std::string::npos ? line : "none";
}

std::string GuestRunners::send(GuestShell& guest, const std::function<void()>& watch) {
  constexpr std::uint64_t largest = 1U << 30U;
  parts_.reporter.detail("The login user cannot mount a disk; sending " + binary_.string());
  const auto bytes = read_file(binary_, largest);
  auto content = fmt::format(unpack_script, serial, bytes.size(),
                             std::ranges::count(std::string_view(unpack_script), '\n') + 1);
  MemberCompressor compressor(Compression::fast);
  const std::span whole(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());  // NOLINT
  Buffer member;
  for (std::size_t at = 0; at < whole.size(); at += member_size) {
    compressor.compress(whole.subspan(at, std::min(member_size, whole.size() - at)), "", member);
    content.append(reinterpret_cast<const char*>(member.data()), member.size());  // NOLINT
  }
  return ask(guest, "sh", content, watch);
}

}  // namespace sarde
