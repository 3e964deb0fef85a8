#include "executor/commands/doctor_command.hpp"

#include <algorithm>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "core/foundation/error.hpp"
#include "core/foundation/text.hpp"
#include "core/image/store/warm_templates.hpp"
#include "core/system/files.hpp"
#include "core/system/host_size.hpp"
#include "core/system/subprocess.hpp"
#include "core/vm/hypervisor_loader.hpp"
#include "executor/job/vm_shape.hpp"

namespace sarde {

namespace {

namespace fs = std::filesystem;
using std::chrono::seconds;

/// The runner waits this long for each of config, prepare and cleanup
/// (docs.gitlab.com/runner/executors/custom).
constexpr seconds runners_own_limit(3600);

std::string program_facts(const Environment& environment, const std::string& name, const std::string& package,
                          const std::string& purpose) {
  const auto found = find_program(name, environment);
  if (found.empty())
    throw Error(name + " is missing, which " + purpose + " needs: apt-get install " + package);
  return found.string();
}

void check_runner(const RunnerFacts& runner, const DoctorRequest& request) {
  const auto where = "runner " + quote(runner.name) + " in " + request.runner_file.string() + ": ";
  std::vector<std::string> missing;
  for (const auto& [stage, program] : runner.programs) {
    if (program.empty()) missing.push_back(stage + "_exec");
    if (!program.empty() && find_program(program, request.host.environment).empty())
      throw Error(where + stage + "_exec is " + quote(program) + ", which cannot be run; set it to " +
                  quote(request.program.string()));
  }
  if (!missing.empty())
    throw Error(where + join(missing, ", ") + " are not set; add under [runners.custom]: " + missing.front() +
                " = " + quote(request.program.string()) +
                ", and so on (gitlab-runner/config.toml is an example)");
  auto prepare = runners_own_limit;
  for (const auto& [name, limit] : runner.timeouts)
    if (name == "prepare_exec_timeout") prepare = limit;
  if (prepare < request.longest_prepare)
    throw Error(where + "prepare_exec_timeout is " + duration_text(prepare) +
                ", but waiting for room and for the guest, and its prepare-script, may take " +
                duration_text(request.longest_prepare) +
                " (admission-timeout, address-timeout, boot-timeout, prepare-script-timeout); set "
                "prepare_exec_timeout = " +
                std::to_string(request.longest_prepare.count()) + ", or shorten these");
}

std::string runner_facts(const DoctorRequest& request) {
  const auto runners = request.runners();
  if (!runners)
    return "no " + request.runner_file.string() +
           " for this account; if gitlab-runner is to use this host, register it there "
           "(gitlab-runner/README.md)";
  if (runners->empty())
    throw Error(
        request.runner_file.string() +
        " has no runner with executor = 'custom'; 'gitlab-runner register --executor custom' adds one");
  std::vector<std::string> names;
  for (const auto& runner : *runners) {
    check_runner(runner, request);
    names.push_back(quote(runner.name));
  }
  return request.runner_file.string() + ": " + join(names, ", ") + ", " +
         std::to_string(request.concurrency) + " job(s) at once";
}

std::string memory_facts(const DoctorRequest& request) {
  const auto host = host_size();
  const auto share = share_of(host, request.concurrency);
  return size_text(memory_for_vms(host.memory_mib) << 20U) + " for VMs; each of " +
         std::to_string(request.concurrency) + " job(s) at once: " + size_text(share.memory_mib << 20U) +
         " and " + std::to_string(share.processors) + " processor(s) (memory = auto, cpus = auto)";
}

std::string room_facts(const SelftestRequest& host) {
  constexpr std::uint64_t least_bytes = 5'000'000'000;
  constexpr std::uint64_t least_files = 1000;
  std::vector<std::string> facts;
  for (const auto& [name, folder] : {std::pair("ocidir", host.ocidir), std::pair("vmdir", host.vmdir),
                                     std::pair("jobsdir", host.jobsdir)}) {
    struct statvfs room {};

    if (::statvfs(folder.c_str(), &room) != 0) continue;
    const auto free = std::uint64_t{room.f_bavail} * room.f_frsize;
    const auto whole = std::uint64_t{room.f_blocks} * room.f_frsize;
    if (free < std::max(least_bytes, whole / 20))
      throw Error(std::string(name) + ": only " + size_text(free) + " of " + size_text(whole) +
                  " are free at " + folder.string() +
                  "; 'sarde-executor prune --older-than 30d' removes unused images");
    if (room.f_files != 0 && room.f_favail < least_files)
      throw Error(std::string(name) + ": only " + std::to_string(room.f_favail) + " more files fit at " +
                  folder.string());
    facts.push_back(std::string(name) + " " + size_text(free));
  }
  return join(facts, ", ") + " free";
}

bool sets_password(const std::string& settings) {
  for (const auto& line : split(settings, '\n'))
    if (trimmed(line).starts_with("password")) return true;
  return false;
}

/// Files with passwords are for this account alone.
std::string settings_facts(const DoctorRequest& request) {
  std::vector<std::string> names;
  for (const auto& file : request.settings_files) {
    struct stat status {};

    if (::stat(file.c_str(), &status) != 0) continue;
    names.push_back(file.string());
    if ((status.st_mode & 0022U) != 0)
      throw Error("other accounts may write to " + file.string() +
                  ", and so decide what this program does: chmod go-w " + file.string());
    if ((status.st_mode & 0044U) != 0 && sets_password(read_file_if_there(file).value_or("")))
      throw Error("other accounts may read " + file.string() + ", which holds a password: chmod 600 " +
                  file.string());
  }
  return names.empty() ? "no files; all settings have their defaults" : join(names, ", ");
}

std::string confinement_facts(bool uses_passt) {
  if (read_proc_file("/sys/fs/selinux/enforce").value_or("").starts_with('1'))
    return "SELinux is enforcing; libvirt labels what QEMU may use";
  if (read_proc_file("/sys/module/apparmor/parameters/enabled").value_or("").starts_with('Y')) {
    constexpr auto rules_of_qemu = "/etc/apparmor.d/local/abstractions/libvirt-qemu";
    const auto rules = read_file_if_there(rules_of_qemu).value_or("");
    if (uses_passt && rules.find("qemu.sock") == std::string::npos)
      throw Error(std::string("AppArmor is on, and ") + rules_of_qemu +
                  " does not let QEMU use passt's socket, so jobs' VMs may get another network, or not "
                  "start; add the rules that docs/networking.md names (\"passt and confined QEMUs\")");
    return "AppArmor is on; libvirt writes a profile for each VM";
  }
  return "neither SELinux nor AppArmor confines QEMU here; whoever breaks out of a VM is QEMU's account";
}

/// The network of jobs' VMs, as far as that is known without starting one: passt's if it is installed.
JobNetwork network_of(const SelftestRequest& host) {
  auto chosen = choose_network(host.network, false);
  if (!chosen.wants_passt || !find_program("passt", host.environment).empty()) return chosen;
  chosen.wants_passt = false;
  if (chosen.otherwise.empty()) return chosen;
  return {.mode = NetworkMode::named, .name = chosen.otherwise};
}

/// Whether jobs' VMs can continue from saved states, as far as that is the host's affair.
std::string warm_facts(const CommandTools& tools, const DoctorRequest& request) {
  if (request.warm == "off") return "off: every VM boots (warm)";
  if (!choose_network(request.host.network, false).wants_passt)
    return "every VM boots, because its network is not passt's (network, network-limit)";
  if (!network_of(request.host).wants_passt)
    throw Error("every VM boots, because passt is not installed: type 'apt-get install passt'");
  std::uint64_t bytes = 0;
  std::size_t states = 0;
  for (const auto& image : folder_entries(tools.images.unpacked.folder()))
    for (const auto& state : WarmTemplates::all_of(image)) {
      states += state.refusal.empty() ? 1 : 0;
      bytes += state.bytes;
    }
  return "VMs continue from saved states, of which there are " + std::to_string(states) +
         (states == 0 ? "" : " (" + size_text(bytes) + ")");
}

/// A libvirt network without a DHCP server gives a guest no address.
std::string dhcp_facts(const CommandTools& tools, const SelftestRequest& host) {
  const auto chosen = network_of(host);
  if (chosen.is_user) return "not needed on the user-mode network";
  if (chosen.mode != NetworkMode::named) return "not libvirt's: the guest needs its own way to an address";
  const auto& network = chosen.name;
  const auto result = run_program(
      {.argv = {"virsh", "-c", host.connect, "net-dumpxml", network}, .environment = host.environment.list()},
      {.clock = tools.clock,
       .cancellation = tools.cancellation,
       .deadline = tools.clock.now() + seconds(20)});
  if (!result.succeeded()) throw Error("virsh net-dumpxml " + network + ": " + quote(trimmed(result.errors)));
  if (result.output.find("<dhcp>") == std::string::npos)
    throw Error("libvirt's network " + quote(network) + " has no DHCP server; 'virsh net-edit " + network +
                "': add <dhcp><range …/></dhcp> to its <ip>");
  return "libvirt's network " + quote(network) + " has a DHCP server";
}

std::string guest_runner_facts(const DoctorRequest& request) {
  if (request.guest_runner == "none") return "guests use their own only (guest-runner = none)";
  if (request.guest_runner != "auto") {
    std::error_code missing;
    if (!fs::exists(request.guest_runner, missing))
      throw Error("guest-runner is " + quote(request.guest_runner) + ", which is not there");
    return request.guest_runner;
  }
  if (request.runner_of_host.empty())
    throw Error(
        "there is no gitlab-runner in PATH to put into guests that have none, so their artifacts and caches "
        "do not work; install gitlab-runner, or set guest-runner to a binary, or to none");
  return request.runner_of_host.string() + " is put into guests that have none";
}

}  // namespace

SelftestAnswer examine(const CommandTools& tools, const DoctorRequest& request) {
  auto findings = look_at_host(tools, request.host);
  const auto look = [&](const std::string& what, const auto& work) {
    findings.push_back(finding_of(what, work));
  };
  const auto& environment = request.host.environment;
  look("DHCP", [&] { return dhcp_facts(tools, request.host); });
  look("warm starts", [&] { return warm_facts(tools, request); });
  look("room", [&] { return room_facts(request.host); });
  look("memory", [&] { return memory_facts(request); });
  look("settings", [&] { return settings_facts(request); });
  look("gitlab-runner", [&] { return runner_facts(request); });
  look("gitlab-runner in guests", [&] { return guest_runner_facts(request); });
  look("confinement", [&] {
    return confinement_facts(network_of(request.host).wants_passt && !request.host.network.is_session);
  });
  look("ssh", [&] { return program_facts(environment, "ssh", "openssh-client", "'sarde-executor ssh'"); });
  look("virsh",
       [&] { return program_facts(environment, "virsh", "libvirt-clients", "'sarde-executor console'"); });
  look("qemu-img", [&] { return program_facts(environment, "qemu-img", "qemu-utils", "'export'"); });
  look("xorriso", [&] { return program_facts(environment, "xorriso", "xorriso", "cloud-init in guests"); });
  return answer_of(findings, request.host.form);
}

}  // namespace sarde
