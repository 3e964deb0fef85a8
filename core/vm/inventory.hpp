#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace sarde {

/// A domain, running or defined.
struct KnownDomain {
  std::string uuid;
  bool is_running = false;
};

/// A volume of a storage pool.
struct VolumeName {
  std::string pool;
  std::string volume;
};

/// The files that a domain's definition names.
struct DomainFiles {
  std::string name;
  std::vector<std::filesystem::path> files = {};    ///< disks and their backing files
  std::vector<std::filesystem::path> written = {};  ///< those of them that it is writing to
};

/// A disk of a running domain, and the new file to copy it to.
struct DiskCopy {
  std::string device;  ///< its target: vda
  std::string format;  ///< qcow2 or raw
  std::filesystem::path file;
};

/// Whether the guest's file systems were frozen when the copy was taken. `still_frozen`: they were, and could
/// not be thawed again.
enum class GuestFileSystems { frozen, running, still_frozen };

/// The VMs that libvirt knows, for commands that list, read, define or copy them. Calls block until libvirt
/// has answered. They throw Error, the host's fault, if libvirt is unreachable or refuses.
class Inventory {
 public:
  Inventory() = default;
  Inventory(const Inventory&) = delete;
  Inventory& operator=(const Inventory&) = delete;
  virtual ~Inventory() = default;

  /// Every domain, by name, with a single request to libvirt.
  virtual std::map<std::string, KnownDomain> domains() = 0;

  /// The domain's definition, including its secrets, as it applies from the next start on.
  virtual std::string definition(const std::string& name) = 0;

  /// Defines a domain without starting it. Returns its UUID. The fault of an Error is as for
  /// Machines::start().
  virtual std::string define(const std::string& domain_xml) = 0;

  /// Undefines a domain that is not running. Its disks stay; its NVRAM file is removed. Does nothing if the
  /// domain does not exist.
  virtual void undefine(const std::string& name) = 0;

  /// The files of every domain, as it is running and as it is defined.
  virtual std::vector<DomainFiles> domain_files() = 0;

  /// The file or device of a volume of a storage pool. The job's fault if there is none.
  virtual std::filesystem::path volume_path(const VolumeName& volume) = 0;

  /// Copies disks of a running domain in the state of one moment, while the domain continues to run. Blocks
  /// until done and calls `progress` with bytes. If `progress` throws (Cancelled, for example), copying
  /// stops; files may remain.
  virtual GuestFileSystems copy_disks(
      const std::string& name, const std::vector<DiskCopy>& copies,
      const std::function<void(std::uint64_t done, std::uint64_t total)>& progress) = 0;
};

}  // namespace sarde
