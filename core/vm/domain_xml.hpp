#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/vm/vm_name.hpp"

namespace sarde {

// Domain XML (libvirt, formatdomain.html), read and written without asking libvirt. An image's domain is
// foreign text: a job's VM is built anew from the few values that it may decide, and nothing else of it is
// copied.

/// The XML namespace of the metadata on a job's domain: <job xmlns="…" id=… expires=…/>.
inline constexpr auto job_metadata_uri = "urn:sarde-executor:job:1";

enum class VirtType { kvm, qemu };

/// A file disk of a domain.
struct DomainDisk {
  std::string file;    ///< path, or bare name in an image
  std::string format;  ///< qcow2, raw, …: the driver's type; `raw` where it is unsaid, as libvirt takes it
  std::string device;  ///< disk or cdrom
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

enum class NetworkMode { user, named, image };

/// A job's VM.
struct JobDomainPlan {
  VmName name;
  std::string job_id;
  std::string title;         ///< for people: may hold any text
  std::int64_t expires = 0;  ///< seconds since 1970
  VirtType virt_type = VirtType::qemu;
  NetworkMode network = NetworkMode::user;
  std::string network_name;                                 ///< for NetworkMode::named
  std::map<std::string, std::filesystem::path> disk_files;  ///< image's bare name → file to use
  std::map<std::string, std::string> disk_formats;          ///< and its format
  std::filesystem::path console_log;
  std::filesystem::path nvram;   ///< where UEFI variables go, if the image boots by UEFI
  std::uint64_t memory_mib = 0;  ///< 0: as the image has it
  unsigned vcpus = 0;            ///< 0: as the image has it
};

/// A domain to start.
struct BuiltDomain {
  std::string xml;
  std::vector<std::string> left_out;  ///< elements of the image's domain that were not taken over
};

/// Builds the domain of a job from its image's. Throws Error (the job's fault).
BuiltDomain build_job_domain(std::string_view image_xml, const JobDomainPlan& plan);

/// A VM's definition as it goes into an image: without uuid, MAC addresses, itco watchdog, and with bare file
/// names.
std::string domain_for_export(std::string_view xml);

/// An image's domain as `import` defines it: under `name`, its disks' files in `folder`.
std::string domain_for_import(std::string_view image_xml, const std::string& name,
                              const std::filesystem::path& folder);

/// The port of 127.0.0.1 that QEMU's `info usernet` shows as forwarded to `guest_port`.
std::optional<std::uint16_t> port_in_usernet(std::string_view answer, std::uint16_t guest_port);

/// From the metadata element of a job's domain; 0 if it does not say.
std::int64_t expiry_in_metadata(std::string_view element);

/// `auto` in the settings: KVM if libvirt offers it for the architecture and, on x86, the processor has vmx
/// or svm (a /dev/kvm without them is an emulation in which guests hang). `cpuinfo` is /proc/cpuinfo's text.
VirtType usable_virt_type(bool kvm_offered, const std::string& architecture, std::string_view cpuinfo);

}  // namespace sarde
