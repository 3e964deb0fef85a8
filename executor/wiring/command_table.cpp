#include "executor/wiring/command_table.hpp"

#include <algorithm>

#include "executor/wiring/command_runs.hpp"
#include "executor/wiring/stage_runs.hpp"

namespace sarde {

std::span<const CommandRow> command_table() {
  constexpr auto stages = "Stages of a job, called by gitlab-runner";
  constexpr auto images = "Images";
  constexpr auto vms = "Virtual machines";
  constexpr auto jobs = "Running jobs";
  constexpr auto host = "This host";
  static const Positional job{"JOB", "the job's number, or its VM's name"};
  static const Positional container{"CONTAINER", "the image's name: REGISTRY/PATH[:TAG]"};
  static const Positional registry{"REGISTRY", "the registry's host[:port]"};
  // clang-format off
  static const std::vector<CommandRow> rows{
      {"config", stages, "tell gitlab-runner about the driver",
       "Prints one JSON object: the driver's name and version, the guest's directories and shell.", {}, run_config},
      {"prepare", stages, "start the job's VM",
       "Fetches the image, starts a VM on thin copies of its disks and waits until its SSH server accepts the login. "
       "After a failure, nothing is left behind.", {}, run_prepare},
      {"run", stages, "run one script in the job's VM",
       "Passes on the script's output as it arrives, and reports its exit code to gitlab-runner.",
       {{"SCRIPT", "the script's file"}, {"STAGE", "the stage's name"}}, run_script},
      {"cleanup", stages, "destroy the job's VM",
       "Also removes the job's files. Succeeds if there is nothing to remove.", {}, run_cleanup},
      {"list", images, "list the images in the cache",
       "Also shows whether the VM that 'import' defined for an image is missing, stopped or running.", {}, run_list},
      {"inspect", images, "show what an image consists of, in the cache or at the registry",
       "Prints layers, sizes, disks, backing chain, login and ports. The disks of an image at a registry are not downloaded. With --diff OTHER, draws which layers a host that has OTHER would still fetch.", {container}, run_inspect},
      {"getconfig", images, "print an image's vm config (its login and services, as JSON)", "Prints nothing if the image has none.", {container}, run_getconfig},
      {"fetch", images, "download an image from a registry into the cache", "Only missing layers are downloaded.", {container}, run_fetch},
      {"push", images, "upload an image from the cache to a registry", "Only layers that the registry lacks are uploaded.", {container}, run_push},
      {"export", images, "make an image from a VM or from disk files",
       "The VM must be shut down, unless --live is given. A disk's backing files become disks of the image.",
       {{"NAME", "the VM; with --disk, the image's name"}, {"CONTAINER", "the image's name; default: --tag, or else NAME", false}}, run_export},
      {"rm", images, "remove an image from the cache",
       "When an image's last name is removed, its blobs, its unpacked disks and the VM that 'import' defined are removed too. "
       "Fails while a VM or a job uses them.",
       {{"CONTAINER", "the image, or several", true, true}}, run_rm},
      {"verify", images, "read every byte of the images in the cache, and say what is damaged",
       "Compares blobs with their digests, and unpacked disks with what was unpacked. Without a name, all images. Changes nothing.",
       {{"CONTAINER", "the image, or several", false, true}}, run_verify},
      {"prune", images, "remove unreferenced blobs and unused images",
       "Never removes what a VM or a job uses, or unpacked disks that something has written to.", {}, run_prune},
      {"import", vms, "define a VM from an image in the cache", "The VM is not started. Prints its name.", {container}, run_import},
      {"pull", vms, "fetch and import", "Layers are unpacked while others are still being downloaded.", {container}, run_pull},
      {"clone", vms, "define a VM whose disks are thin copies of an image's or of another VM's",
       "An image that is not in the cache is fetched. A VM must be shut down, and must not be started again while it has clones.",
       {{"SOURCE", "a VM, or an image"}, {"TARGET", "the new VM's name"}}, run_clone},
      {"try", jobs, "run a job on an image, without GitLab",
       "Starts a VM as for a job, runs the command in it (or a script: --script, or standard input), and removes the VM. At a terminal and without a command, "
       "there is a shell. Takes the options of 'prepare'. The exit code is the command's.",
       {container, {"COMMAND", "what to run; a single word is a command line. Put -- in front of a command that has options", false, true}}, run_try},
      {"warm", jobs, "boot a VM of an image and save its state, so that jobs' VMs need not boot",
       "Boots a VM as a job does, saves its state in place of an earlier one, and proves that VMs can continue from it safely. Without this command, the first job "
       "on an image does the same. Takes the options of 'prepare'.", {container}, run_warm},
      {"jobs", jobs, "list the jobs on this host",
       "Shows each job's state or the stage that runs, since when and for whom, its image, memory and address.", {}, run_jobs},
      {"ssh", jobs, "log into a job's VM, or run a command in it",
       "Uses OpenSSH's client, the job's login, and the host key that was seen when the VM started. Several words are one command with its arguments; a single word is "
       "a command line. Put -- in front of a command that has options.",
       {job, {"COMMAND", "what to run; default: a login shell", false, true}}, run_ssh},
      {"console", jobs, "connect to the serial console of a job's VM", "Uses virsh; Ctrl-] leaves the console.", {job}, run_console},
      {"logs", jobs, "print what a job's VM wrote to its serial console", "With --follow, goes on until the job is cleaned up.", {job}, run_logs},
      {"login", host, "store credentials for a registry",
       "Tries the credentials first. Asks at the terminal for what is not given.", {registry}, run_login},
      {"logout", host, "remove a registry's credentials", "Removes them from the file to which 'login' wrote them. Quote '*' for the shell.",
       {{"REGISTRY", "the registry's host[:port], or '*' for all of them"}}, run_logout},
      {"gc", host, "remove what was left behind by jobs whose cleanup did not run",
       "Removes the VMs and folders of jobs that were killed, temporary files of killed processes, and saved states older than warm-max-age. Does not touch running jobs.", {}, run_gc},
      {"settings", host, "print the effective settings",
       "'settings IMAGE' prints those for jobs on that image. 'settings convert FILE.ini' prints one of sardinecake's files as TOML.",
       {{"IMAGE", "print the settings for jobs on this image; or the word 'convert'", false}, {"FILE", "the file to convert", false}}, run_settings},
      {"doctor", host, "examine this host, and say what to do about what is wrong",
       "Checks what 'selftest' checks, and gitlab-runner's config.toml, free disk space, memory, permissions of the settings files, DHCP, AppArmor and SELinux, and optional programs.", {}, run_doctor},
      {"selftest", host, "check whether this host has what is needed",
       "Checks programs, libvirt, folders, and every byte of the unpacked disks that jobs share.", {}, run_selftest},
  };
  // clang-format on
  return rows;
}

const CommandRow* find_command(std::string_view name) {
  const auto rows = command_table();
  const auto found = std::ranges::find(rows, name, &CommandRow::name);
  return found == rows.end() ? nullptr : &*found;
}

std::set<std::string> command_names() {
  std::set<std::string> names;
  for (const auto& row : command_table()) names.emplace(row.name);
  return names;
}

bool is_job_by_hand(std::string_view command) {
  return command == "try" || command == "warm";
}

bool has_job(std::string_view command) {
  return is_job_by_hand(command) || is_job_stage(command);
}

bool is_job_stage(std::string_view command) {
  const auto* row = find_command(command);
  return row != nullptr && row->group == command_table().front().group;
}

}  // namespace sarde
