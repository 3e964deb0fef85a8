#pragma once

#include <array>

#include "config/option.hpp"

namespace sarde {

namespace option_group {

inline constexpr std::string_view places = "Where things are kept";
inline constexpr std::string_view vms = "libvirt and the VMs";
inline constexpr std::string_view registries = "Images and registries";
inline constexpr std::string_view logins = "Logging into guests";
inline constexpr std::string_view jobs = "Jobs";
inline constexpr std::string_view times = "How long things may take";
inline constexpr std::string_view exports = "Exports";
inline constexpr std::string_view program = "The program itself";
inline constexpr std::string_view calls = "What one call does";

}  // namespace option_group

/// All options, in the order in which they are listed.
inline constexpr auto option_table = [] {
  using namespace option_group;
  using enum ValueKind;
  constexpr auto call = OptionScope::call;
  // clang-format off
  return std::to_array<OptionRow>({
      // where things are kept
      {.name = "ocidir", .group = places, .kind = path, .help = "folder for images in the form in which registries store them",
       .commands = "prepare fetch import pull export push list getconfig inspect clone rm verify prune gc selftest doctor",
       .initial = "<data>/oci", .letter = 'd'},
      {.name = "vmdir", .group = places, .kind = path, .help = "folder for the unpacked disks of images, on which the disks of jobs' VMs are based",
       .commands = "prepare import pull export clone rm verify prune gc selftest doctor", .initial = "<data>/vms", .letter = 'o', .alias = "outdir"},
      {.name = "jobsdir", .group = places, .kind = path, .help = "folder for the files of running jobs",
       .commands = "config prepare run cleanup rm prune gc jobs ssh console logs selftest doctor", .initial = "<data>/jobs", .alias = "clonedir"},

      // libvirt and the VMs
      {.name = "connect", .group = vms, .kind = text, .help = "libvirt connection URI", .commands = "*", .initial = "<uri>"},
      {.name = "virt-type", .group = vms, .kind = text, .help = "kind of virtualisation; qemu: emulation; auto: kvm if this host has it", .commands = "prepare selftest doctor",
       .initial = "auto", .choices = "auto kvm qemu", .job_may_set = true},
      {.name = "network", .group = vms, .kind = text,
       .help = "user (passt if available, otherwise slirp), passt, slirp, image, bridge:NAME (a bridge of this host), or the name of a libvirt network; default: passt; if it is not available, slirp with qemu:///session, otherwise libvirt's network 'default'",
       .commands = "prepare", .example = "default"},
      {.name = "memory", .group = vms, .kind = memory_share, .help = "memory of a job's VM; auto: this host's, divided among the jobs that run at once; 0: what the image says. With export --disk: what the image will say (0: 2 GiB)", .commands = "prepare export",
       .initial = "0", .example = "4GiB", .job_may_set = true},
      {.name = "vcpus", .group = vms, .kind = count_share, .help = "processors of a job's VM; auto: this host's, divided among the jobs that run at once; 0: what the image says. With export --disk: what the image will say (0: 2)", .commands = "prepare export",
       .initial = "0", .example = "2", .alias = "cpus", .job_may_set = true},
      {.name = "concurrency", .group = vms, .kind = count, .help = "jobs that run at once, among which 'auto' divides the host; default: concurrent in gitlab-runner's config.toml, otherwise 1",
       .example = "4"},
      {.name = "max-memory", .group = vms, .kind = memory, .help = "largest memory that a job's VM may have, no matter what requests it; 0: unlimited; default: the host's memory",
       .initial = "<memory>", .example = "8GiB"},
      {.name = "max-vcpus", .group = vms, .kind = count, .help = "largest number of processors that a job's VM may have; 0: unlimited; default: the host's number",
       .initial = "<processors>", .example = "4"},
      {.name = "max-job-disk", .group = vms, .kind = limit, .help = "how much a job may write to its VM's disks; 0: unlimited; the last 5 % of the free space are never available",
       .initial = "64GiB"},
      {.name = "max-vms", .group = vms, .kind = count, .help = "largest number of jobs' VMs that run at once; further jobs wait for their turn; 0: as many as there is memory for", .commands = "prepare",
       .initial = "0", .example = "8"},
      {.name = "memory-overcommit", .group = vms, .kind = factor, .help = "how many times the host's memory jobs' VMs may have together; further jobs wait", .commands = "prepare",
       .initial = "1", .example = "1.5"},
      {.name = "disk-size", .group = vms, .kind = limit, .help = "size that the first disk of a job's VM has at least; the guest grows its file system itself (cloud-init's growpart does); 0: the image's",
       .commands = "prepare", .initial = "0", .example = "40GiB", .job_may_set = true},
      {.name = "scratch-disk", .group = vms, .kind = limit, .help = "size of an additional empty disk, /dev/disk/by-id/virtio-scratch in a Linux guest; 0: none",
       .commands = "prepare", .initial = "0", .example = "20GiB", .job_may_set = true},
      {.name = "max-disk-size", .group = vms, .kind = limit, .help = "largest disk-size and scratch-disk; 0: unlimited",
       .initial = "0", .example = "100GiB"},
      {.name = "nested", .group = vms, .kind = flag, .help = "let a job's VM run VMs itself, if this host's KVM allows it", .commands = "prepare",
       .initial = "false", .job_may_set = true},
      {.name = "timezone", .group = vms, .kind = text, .help = "time zone of a job: TZ for its scripts, and the hardware clock of Windows guests; default: the image's",
       .commands = "prepare", .example = "Europe/Berlin", .job_may_set = true},
      {.name = "network-limit", .group = vms, .kind = limit, .help = "bytes per second that a job's VM may send, and as many that it may receive; not with passt or slirp; 0: unlimited",
       .commands = "prepare", .initial = "0", .example = "50MB"},
      {.name = "disk-limit", .group = vms, .kind = limit, .help = "bytes per second that a job's VM may read and write, all disks together; 0: unlimited",
       .commands = "prepare", .initial = "0", .example = "200MB"},
      {.name = "allow-devices", .group = vms, .kind = list,
       .help = "elements of <devices> that an image's domain may contain although they use resources of the host; set this only for individual images",
       .example = "hostdev"},
      {.name = "warm", .group = vms, .kind = text,
       .help = "auto: a job's VM continues from the saved state of an earlier one of the same image that had booted, where that is safe, and boots otherwise; off: every VM boots",
       .commands = "prepare", .initial = "auto", .choices = "auto off", .job_may_set = true},
      {.name = "warm-max-age", .group = vms, .kind = seconds, .help = "how long VMs continue from the same saved state", .commands = "prepare",
       .initial = "24h"},
      {.name = "omit-backingstore", .group = vms, .kind = flag, .help = "no effect, because VMs are always defined this way (an option of sardinecake)",
       .commands = "prepare", .initial = "false"},

      // images and registries
      {.name = "default-image", .group = registries, .kind = text, .help = "image for jobs that do not name one", .commands = "config prepare",
       .example = "registry.example.org/vms/debian12", .alias = "image"},
      {.name = "aliases", .group = registries, .kind = pairs, .help = "short names that jobs may use for images",
       .example = "debian=registry.example.org/vms/debian12"},
      {.name = "allow-image", .group = registries, .kind = list,
       .help = "patterns of the images that jobs may use: * stands for anything up to the next slash, ** for anything; default: every image",
       .example = "registry.example.org/vms/**"},
      {.name = "deny-image", .group = registries, .kind = list, .help = "patterns of images that jobs may not use, even if allow-image lists them",
       .example = "registry.example.org/vms/old-*"},
      {.name = "pull-policy", .group = registries, .kind = list, .help = "when to ask the registry for an image; the policies are tried in order until one succeeds", .commands = "prepare",
       .initial = "always", .example = "always,if-not-present", .choices = "always if-not-present never"},
      {.name = "allowed-pull-policies", .group = registries, .kind = list, .help = "pull policies that a job may choose in addition to pull-policy",
       .example = "always", .choices = "always if-not-present never"},
      {.name = "manifest-ttl", .group = registries, .kind = seconds,
       .help = "how long the registry's answer about an image is good for other jobs too; default: every job asks", .example = "60"},
      {.name = "keep-blobs", .group = registries, .kind = flag,
       .help = "keep the layers of an image that a job or clone fetches in ocidir after its disks have been unpacked; otherwise the host has one copy of the disks, and push fetches the layers again",
       .commands = "prepare clone", .initial = "false"},
      {.name = "lazy", .group = registries, .kind = text,
       .help = "whether a VM starts while its image is still being fetched: auto, if that takes longer than 20 seconds; always; off",
       .commands = "prepare", .initial = "auto", .choices = "auto off always", .job_may_set = true},
      {.name = "insecure-registries", .group = registries, .kind = list,
       .help = "registries (host[:port]) that may be contacted over plain HTTP or without TLS verification", .example = "localhost:5000"},
      {.name = "insecure", .group = registries, .kind = flag, .help = "contact every registry like those in insecure-registries; only for experiments",
       .commands = "prepare login fetch pull push import inspect clone", .initial = "false"},
      {.name = "authfile", .group = registries, .kind = path, .help = "file with registry credentials, in the format of containers-auth.json(5); default: the files that skopeo uses",
       .commands = "prepare login logout fetch pull push import inspect clone", .example = "/etc/sardinecake/auth.json"},
      {.name = "signature-policy", .group = registries, .kind = path,
       .help = "file that says which signatures an image must have, in the format of containers-policy.json(5); default: skopeo's policy",
       .commands = "prepare fetch pull push import inspect clone", .example = "/etc/sardinecake/policy.json"},
      {.name = "platform", .group = registries, .kind = text,
       .help = "which image of an index is taken: system/architecture as registries name them; default: linux and this host's architecture",
       .commands = "prepare fetch pull inspect clone", .example = "linux/amd64"},
      {.name = "max-image", .group = registries, .kind = size, .help = "largest total size of an image's unpacked disk files", .initial = "512GiB"},
      {.name = "max-disk", .group = registries, .kind = size, .help = "largest total size of an image's disks, as the guest sees them", .initial = "2TiB"},

      // logging into guests
      {.name = "username", .group = logins, .kind = text, .help = "user name for logging into guests; with 'login': at the registry, without this default",
       .commands = "config prepare run cleanup login", .initial = "vagrant", .letter = 'u', .job_may_set = true},
      {.name = "password", .group = logins, .kind = text, .help = "password for logging into guests; with 'login': at the registry, without this default. Other users of this host can see a command line, so set it in a file with mode 600",
       .commands = "config prepare run cleanup login", .initial = "vagrant", .letter = 'p', .job_may_set = true},
      {.name = "identity-file", .group = logins, .kind = path, .help = "private key for logging into guests", .commands = "config prepare run cleanup",
       .example = "/etc/sardinecake/id_ed25519"},
      {.name = "ssh-agent", .group = logins, .kind = flag,
       .help = "also try the keys of the SSH agent that SSH_AUTH_SOCK names; the guest gets no access to the agent", .commands = "prepare run cleanup", .initial = "false"},
      {.name = "ssh-port", .group = logins, .kind = port, .help = "port of the guests' SSH server; 0: the image's value, otherwise 22", .commands = "prepare",
       .initial = "0", .example = "2222", .job_may_set = true},

      {.name = "ssh-algorithms", .group = logins, .kind = text, .help = "legacy: accept also the old SSH algorithms (SHA-1, CBC, ssh-rsa); set this only for individual images",
       .commands = "prepare", .initial = "modern", .choices = "modern legacy"},
      {.name = "login-grace", .group = logins, .kind = seconds,
       .help = "how long a login that a guest refuses is tried again, because a guest may create its users late in its first boot; boot-timeout is the limit in any case",
       .commands = "prepare", .initial = "60", .job_may_set = true},

      {.name = "keep-connection", .group = logins, .kind = flag,
       .help = "keep one SSH connection to a job's VM from stage to stage, in a process of its own (on by default; --keep-connection=false: each stage logs in anew)", .commands = "prepare",
       .initial = "true", .job_may_set = true},

      // jobs
      {.name = "job-settable", .group = jobs, .kind = list, .help = "options that a job may set with variables named SARDE_<OPTION>", .example = "memory"},
      {.name = "shell", .group = jobs, .kind = text, .help = "shell that runs a job's scripts", .commands = "config prepare", .initial = "bash",
       .choices = "bash sh pwsh powershell", .job_may_set = true},
      {.name = "guest-builds-dir", .group = jobs, .kind = text, .help = "folder in the guest for jobs' builds", .commands = "config",
       .initial = "/var/tmp/gitlab-runner/builds", .job_may_set = true},
      {.name = "guest-cache-dir", .group = jobs, .kind = text, .help = "folder in the guest for jobs' caches", .commands = "config",
       .initial = "/var/tmp/gitlab-runner/cache", .job_may_set = true},
      {.name = "builds-dir", .group = jobs, .kind = path, .help = "folder on this host for builds, which persist from job to job: each project has its own, at guest-builds-dir in its jobs' VMs; default: builds are in the VM",
       .commands = "config prepare", .example = "/srv/gitlab/builds"},
      {.name = "cache-dir", .group = jobs, .kind = path, .help = "folder on this host for caches, which persist from job to job: each project has its own, at guest-cache-dir in its jobs' VMs; default: caches are in the VM", .commands = "prepare", .example = "/srv/gitlab/cache"},
      {.name = "shared-dirs", .group = jobs, .kind = flag, .help = "all projects share builds-dir and cache-dir, so each can change what the others run", .commands = "prepare", .initial = "false"},
      {.name = "mounts", .group = jobs, .kind = list, .help = "folders of this host in jobs' VMs: HOST:GUEST, or HOST:GUEST:ro", .example = "/srv/data:/data:ro"},
      {.name = "guest-setup", .group = jobs, .kind = text,
       .help = "auto: an image exported with --cloud-init is set up through cloud-init, with a login user and a key made for the job; cloud-init: every image is; agent: the guest's qemu-guest-agent adds a key made for the job to the login user's; none: no image is",
       .commands = "prepare", .initial = "auto", .choices = "auto cloud-init agent none"},
      {.name = "cloud-init-user-data", .group = jobs, .kind = path, .help = "user data for cloud-init, merged with what logs jobs in", .commands = "prepare",
       .example = "/etc/sardinecake/user-data.yaml"},
      {.name = "guest-runner", .group = jobs, .kind = text,
       .help = "gitlab-runner for guests that have none, without which artifacts and caches do not work: auto (this host's own), none, or the path of a binary or of a folder of binaries (gitlab-runner-linux-amd64)",
       .commands = "prepare", .initial = "auto", .example = "/usr/local/lib/gitlab-runners"},
      {.name = "prepare-script", .group = jobs, .kind = path, .help = "script that runs in each job's VM, as the login user, before the job",
       .commands = "prepare", .example = "/etc/sardinecake/prepare.sh"},
      {.name = "prepare-script-timeout", .group = jobs, .kind = seconds, .help = "how long the prepare-script may take", .commands = "prepare",
       .initial = "600"},

      {.name = "post-script", .group = jobs, .kind = path,
       .help = "script that runs in each job's VM, as the login user, after the job and before the VM is removed; its failure is only reported",
       .commands = "cleanup", .example = "/etc/sardinecake/post.sh"},
      {.name = "post-script-timeout", .group = jobs, .kind = seconds, .help = "how long the post-script may take", .commands = "cleanup", .initial = "60"},
      {.name = "keep-on-failure", .group = jobs, .kind = seconds,
       .help = "how long the VM of a job whose script has failed is kept after the job, for 'ssh' and 'console'; default: it is removed at once",
       .commands = "run", .example = "30m", .job_may_set = true},
      {.name = "max-keep", .group = jobs, .kind = seconds, .help = "longest keep-on-failure, no matter who asks for it", .commands = "run", .initial = "4h"},

      // how long things may take
      {.name = "fetch-timeout", .group = times, .kind = seconds,
       .help = "time limit for one transfer from or to a registry, and for waiting while another process uses the same image",
       .commands = "prepare login fetch pull push import inspect clone", .initial = "3600"},
      {.name = "timeout", .group = times, .kind = seconds, .help = "sets both address-timeout and boot-timeout, unless they are set themselves", .commands = "prepare",
       .example = "300", .job_may_set = true},
      {.name = "address-timeout", .group = times, .kind = seconds, .help = "how long a VM may take to get an address", .commands = "prepare",
       .initial = "120", .job_may_set = true, .otherwise = "timeout"},
      {.name = "boot-timeout", .group = times, .kind = seconds, .help = "how long a VM that has an address may take until its SSH server accepts the login; a guest that is busy or reboots during the job is waited for as long",
       .commands = "prepare", .initial = "300", .job_may_set = true, .otherwise = "timeout"},

      {.name = "admission-timeout", .group = times, .kind = seconds, .help = "how long a job waits for room on the host (max-vms, memory) before it fails", .commands = "prepare",
       .initial = "1800"},

      // exports
      {.name = "compression", .group = exports, .kind = text, .help = "small: slower to make; fast: a larger image", .commands = "export", .initial = "small", .choices = "small fast"},
      {.name = "chunksize", .group = exports, .kind = limit, .help = "largest compressed layer of an exported image, at least 64KiB; 0: no limit beyond the 16 MiB of the disk that a layer covers", .commands = "export",
       .initial = "0", .example = "64MiB"},
      {.name = "vmconfig", .group = exports, .kind = path, .help = "JSON file with the VM's login and services, which is put into the image", .commands = "export",
       .example = "/etc/sardinecake/vmconfig.json"},
      {.name = "libvirtconfig", .group = exports, .kind = path, .help = "domain XML to export instead of the VM's own", .commands = "export",
       .example = "/tmp/domain.xml"},

      // the program itself
      {.name = "verbosity", .group = program, .kind = number, .help = "0: results and warnings, 1: also steps, 2: also details (-q, -v)", .initial = "1", .job_may_set = true},
      {.name = "threads", .group = program, .kind = count, .help = "threads that compress, inflate and hash; 0: one per processor, at most 16",
       .commands = "prepare export import pull clone inspect", .initial = "0", .example = "4"},
      {.name = "metrics-file", .group = program, .kind = path,
       .help = "file to which the stages of jobs add what happened, for node_exporter's textfile collector; its folder is made if need be", .commands = "prepare run cleanup",
       .example = "/var/lib/prometheus/node-exporter/sarde.prom"},
      {.name = "no-run", .group = program, .kind = flag, .help = "check the settings and the command line, and do nothing else", .commands = "*", .initial = "false"},

      // what one call does
      {.name = "name", .group = calls, .kind = text, .help = "the VM's name; default: the image config's digest", .commands = "import pull", .scope = call, .letter = 'n'},
      {.name = "source", .group = calls, .kind = text, .help = "the image's name at the registry, if it differs", .commands = "fetch pull", .scope = call, .letter = 's'},
      {.name = "target", .group = calls, .kind = text, .help = "the image's name at the registry, if it differs", .commands = "push", .scope = call, .letter = 't'},
      {.name = "tag", .group = calls, .kind = text, .help = "the image's name", .commands = "export", .scope = call},
      {.name = "raw", .group = calls, .kind = flag, .help = "CONTAINER is the folder of an OCI layout", .commands = "import export getconfig inspect", .scope = call},
      {.name = "live", .group = calls, .kind = flag, .help = "export the VM while it runs, from a consistent copy of its disks", .commands = "export", .scope = call},
      {.name = "disk", .group = calls, .kind = list, .help = "make an image of this disk file, without a VM; may be repeated", .commands = "export", .scope = call},
      {.name = "firmware", .group = calls, .kind = text, .help = "with --disk: the firmware from which the VM boots", .commands = "export", .initial = "bios", .choices = "bios uefi", .scope = call},
      {.name = "arch", .group = calls, .kind = text, .help = "with --disk: libvirt's name of its architecture", .commands = "export", .initial = "x86_64", .scope = call},
      {.name = "cloud-init", .group = calls, .kind = flag, .help = "note in the image that jobs' VMs are set up through cloud-init", .commands = "export", .scope = call},
      {.name = "with-cdroms", .group = calls, .kind = flag, .help = "take along the CDs that are in the VM's drives", .commands = "export", .scope = call},
      {.name = "strict", .group = calls, .kind = flag, .help = "fail if a job would refuse the VM, or would lose something of it", .commands = "export", .scope = call},
      {.name = "remote", .group = calls, .kind = flag, .help = "ask the registry, even if the image is in the cache", .commands = "inspect", .scope = call},
      {.name = "diff", .group = calls, .kind = text, .help = "show instead what a host that has this other image would still fetch", .commands = "inspect", .scope = call},
      {.name = "print-uuid", .group = calls, .kind = flag, .help = "print the VM's UUID rather than its name", .commands = "import pull clone", .scope = call},
      {.name = "password-stdin", .group = calls, .kind = flag, .help = "read the password from standard input", .commands = "login", .scope = call},
      {.name = "older-than", .group = calls, .kind = seconds, .help = "remove images that have not been used for this long (30d, 12h)", .commands = "prune", .scope = call},
      {.name = "budget", .group = calls, .kind = size, .help = "remove the images that have been unused for longest, until the rest fits into this size", .commands = "prune", .scope = call},
      {.name = "scheduled", .group = calls, .kind = flag, .help = "for a timer: do nothing as long as neither budget nor older-than is set", .commands = "prune", .scope = call},
      {.name = "script", .group = calls, .kind = path, .help = "file with the script to run", .commands = "try", .scope = call},
      {.name = "follow", .group = calls, .kind = flag, .help = "keep printing what is written, until the job is cleaned up", .commands = "logs", .scope = call, .letter = 'f'},
      {.name = "dry-run", .group = calls, .kind = flag, .help = "show what would be removed, but remove nothing", .commands = "rm prune gc", .scope = call},
      {.name = "executor", .group = calls, .kind = flag, .help = "with 'convert': the file is one of sardinecake's GitLab executor", .commands = "settings", .scope = call},
      {.name = "format", .group = calls, .kind = text, .help = "form of the answer", .commands = "export push fetch import pull clone list inspect rm verify prune gc jobs settings selftest doctor", .initial = "text",
       .choices = "text json", .scope = call},
      {.name = "json", .group = calls, .kind = flag, .help = "the same as --format json", .commands = "export push fetch import pull clone list inspect rm verify prune gc jobs settings selftest doctor", .scope = call},
  });
  // clang-format on
}();

/// The row of a name that is known at compile time. An unknown name does not compile.
template <OptionName Name>
consteval const OptionRow& row_of() {
  for (const auto& row : option_table)
    if (row.name == Name.view()) return row;
  throw "there is no option of this name";
}

/// Finds an option by its name or by sardinecake's name for it; null if there is no such option.
const OptionRow* find_option(std::string_view name);

/// " (did you mean 'boot-timeout'?)" for boot-timeut; empty if no option is like it.
std::string option_hint(std::string_view mistyped);

/// SARDE_BOOT_TIMEOUT for boot-timeout.
std::string variable_name(std::string_view option);

/// The words of a row's `choices` or `commands`.
std::vector<std::string> words_of(std::string_view words);

/// Does the command accept this option on its command line?
bool is_option_of(const OptionRow& row, std::string_view command);

}  // namespace sarde
