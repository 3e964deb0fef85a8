#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/vm/hypervisor.hpp"
#include "core/vm/vm_name.hpp"

namespace sarde {

// Domain XML (libvirt, formatdomain.html), read and written without asking libvirt. An image's domain is
// foreign text: a job's VM is built anew from the few values that it may decide, and nothing else of it is
// copied.

/// The XML namespace of the metadata on a job's domain: <job xmlns="…" id=… expires=… boot=…
/// expires-uptime=… folder=…/> (see Moment and JobDomain).
inline constexpr auto job_metadata_uri = "urn:sarde-executor:job:1";

enum class VirtType { kvm, qemu };

/// A file disk of a domain.
struct DomainDisk {
  std::string file;    ///< path, or bare name in an image
  std::string format;  ///< qcow2, raw, …: the driver's type; empty where it is unsaid
  std::string device;  ///< disk or cdrom
  std::string target;  ///< what the domain calls it: vda
  bool read_only = false;
};

/// What the image decides about a VM, as far as others need to know it.
struct ImageDomain {
  std::string name;
  std::string architecture;  ///< libvirt's name: x86_64
  std::vector<DomainDisk> disks;
  bool has_user_network = false;  ///< its first interface is QEMU's user-mode network
};

/// Throws Error (the job's fault) naming `what` when the text is no domain, or too odd to run.
ImageDomain parse_domain(std::string_view xml, const std::string& what);

/// A disk's file for a VM that is to be made.
struct DiskFile {
  std::filesystem::path path;
  std::string format;  ///< qcow2 or raw
};

enum class NetworkMode { user, named, image };

/// A job's VM.
struct JobDomainPlan {
  VmName name;
  std::string job_id;
  std::string title;                  ///< for people: may hold any text
  std::filesystem::path folder = {};  ///< the job's
  Moment expires = {};                ///< when nobody can need the VM any more
  VirtType virt_type = VirtType::qemu;
  NetworkMode network = NetworkMode::user;
  std::string network_name;                        ///< for NetworkMode::named
  std::filesystem::path user_network_socket = {};  ///< passt's, if the user-mode network is to come from it
  std::map<std::string, DiskFile> disk_files;      ///< by the image's bare name
  std::filesystem::path console_log;
  std::filesystem::path nvram;       ///< where UEFI variables go, if the image boots by UEFI
  std::uint64_t memory_mib = 0;      ///< 0: as the image has it
  unsigned vcpus = 0;                ///< 0: as the image has it
  std::uint64_t max_memory_mib = 0;  ///< 0: any
  unsigned max_vcpus = 0;            ///< 0: any
  std::vector<std::string> allowed_devices =
      {};  ///< elements in <devices> that are taken as the image has them
};

/// A domain to start.
struct BuiltDomain {
  std::string xml;
  std::vector<std::string> left_out;  ///< elements of the image's domain that were not taken over
};

/// Builds the domain of a job from its image's. Throws Error (the job's fault).
BuiltDomain build_job_domain(std::string_view image_xml, const JobDomainPlan& plan);

/// A VM's definition as it goes into an image: without uuid, MAC addresses, itco watchdog and backing chains
/// (the disks' headers tell them), each disk's file by the name that `names` gives for it.
std::string domain_for_export(std::string_view xml, const std::map<std::string, std::string>& names);

/// A domain (an image's, or a VM's) as another one is to be defined: under `name`, without uuid, MAC
/// addresses, NVRAM file and backing chains, with these files in place of those that its disks name. Throws
/// Error (the job's fault) if there is none for a disk.
std::string domain_to_define(std::string_view xml, const std::string& name,
                             const std::map<std::string, DiskFile>& files);

/// Files and devices that a domain's definition names: disks with their backing chains.
std::vector<std::filesystem::path> files_of_domain(std::string_view xml);

/// The files that a domain writes to while it runs.
std::vector<std::filesystem::path> written_files_of_domain(std::string_view xml);

/// Disks that are none in a file of this machine, each as people call it: "vdb (disk of type block)".
std::vector<std::string> disks_not_in_files(std::string_view xml);

/// A disk that is a volume of a storage pool.
struct VolumeName {
  std::string pool;
  std::string volume;
};

std::vector<VolumeName> volumes_of_domain(std::string_view xml);

/// libvirt's order to copy disks of a running domain (formatbackup.html); `all_targets`: every disk it has.
std::string backup_order(const std::vector<DiskCopy>& copies, const std::vector<std::string>& all_targets);

/// The targets (vda) of all disks.
std::vector<std::string> disk_targets(std::string_view xml);

/// The port of 127.0.0.1 that QEMU's `info usernet` shows as forwarded to `guest_port`.
std::optional<std::uint16_t> port_in_usernet(std::string_view answer, std::uint16_t guest_port);

/// The account of libvirt's DAC driver (formatcaps.html, secmodel); nothing if it has none, as in a session.
std::optional<QemuAccount> account_in_capabilities(std::string_view xml);

/// What the metadata element of a job's domain says; its name and UUID are for the caller to add.
JobDomain job_in_metadata(std::string_view element);

/// `auto` in the settings: KVM if libvirt offers it for the architecture and, on x86, the processor has vmx
/// or svm (a /dev/kvm without them is an emulation in which guests hang). `cpuinfo` is /proc/cpuinfo's text.
VirtType usable_virt_type(bool kvm_offered, const std::string& architecture, std::string_view cpuinfo);

}  // namespace sarde
