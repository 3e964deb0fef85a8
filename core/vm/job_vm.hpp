#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/system/clock.hpp"
#include "core/vm/disk_file.hpp"
#include "core/vm/traffic_filter.hpp"
#include "core/vm/vm_name.hpp"

namespace sarde {

enum class VirtType { kvm, qemu };

enum class NetworkMode { user, named, bridge, image };

/// A disk that a job's VM has beside its image's.
struct OwnDisk {
  std::filesystem::path file;
  std::string format;  ///< raw or qcow2
  std::string serial;  ///< by which a Linux guest finds it: /dev/disk/by-id/virtio-<serial>
  bool read_only = true;
  DiskOwnership ownership = DiskOwnership::own;
  std::vector<BackingFile> backing = {};  ///< as in DiskFile
};

/// How a folder of the host reaches a guest.
enum class ShareType { virtiofs, p9 };

/// A folder of the host that a job's VM may use.
struct SharedFolder {
  std::filesystem::path folder;
  std::string tag;  ///< by which the guest mounts it
  bool read_only = false;
  ShareType type = ShareType::p9;
  std::filesystem::path virtiofsd = {};  ///< in place of libvirt's choice; empty: that
};

/// Where a VM reads the files of its image that are not whole yet.
struct DiskServer {
  std::filesystem::path socket;              ///< of an NBD server, whose exports are called VM/FILE
  std::vector<std::filesystem::path> files;  ///< that it serves: the image's disks, in its manifest's order
};

/// A job's VM: everything that its domain is written from.
struct JobVm {
  VmName name;
  std::string image_xml = {};  ///< the image's domain: untrusted text
  std::string job_id;
  std::string title;                  ///< for people: may contain any text
  std::filesystem::path folder = {};  ///< the job's
  Moment expires = {};                ///< when the VM can no longer be needed
  VirtType virt_type = VirtType::qemu;
  NetworkMode network = NetworkMode::user;
  std::string network_name;                            ///< for NetworkMode::named; or the bridge's
  std::optional<TrafficFilter> filter = std::nullopt;  ///< on a bridge, in addition to isolated ports
  std::filesystem::path user_network_socket = {};      ///< passt's, if passt provides the user-mode network
  DiskFiles disk_files;                                ///< by the image's bare name
  std::filesystem::path console_log;
  std::vector<OwnDisk> own_disks = {};  ///< behind the image's
  std::vector<SharedFolder> shared_folders = {};
  std::filesystem::path nvram;  ///< where UEFI variables go, if the image boots by UEFI
  bool needs_agent = false;     ///< its guest's agent is spoken to, on any network
  std::string timezone = {};    ///< IANA's name; empty: as the image has it
  bool nested = false;          ///< it may run VMs itself
  bool may_be_cloned = false;   ///< its running state may be saved: the guest's kernel can tell (VMGENID)
  bool awaits_state = false;    ///< it does not boot, but continues from a saved state
  /// If it goes away, the VM's reading waits two minutes for it to come back.
  std::optional<DiskServer> disk_server = std::nullopt;
  std::optional<std::uint64_t> network_limit = std::nullopt;   ///< bytes per second in each direction
  std::optional<std::uint64_t> disk_limit = std::nullopt;      ///< bytes per second, all disks together
  std::optional<std::uint64_t> memory_mib = std::nullopt;      ///< nothing: as the image has it
  std::optional<unsigned> vcpus = std::nullopt;                ///< nothing: as the image has it
  std::optional<std::uint64_t> max_memory_mib = std::nullopt;  ///< nothing: unlimited
  std::optional<unsigned> max_vcpus = std::nullopt;            ///< nothing: unlimited
  std::vector<std::string> allowed_devices = {};  ///< elements in <devices> that are copied from the image
};

}  // namespace sarde
