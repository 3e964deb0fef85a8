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

/// The files that a domain's definition names.
struct DomainFiles {
  std::string name;
  std::vector<std::filesystem::path> files = {};    ///< disks and their backing files
  std::vector<std::filesystem::path> written = {};  ///< of them, those that it writes to just now
};

/// A disk of a running domain and the new file that gets what it holds.
struct DiskCopy {
  std::string device;  ///< its target: vda
  std::string format;  ///< qcow2 or raw
  std::filesystem::path file;
};

/// Whether the guest's file systems were frozen at the moment that a copy shows; `still_frozen`: and could
/// not be thawed again.
enum class GuestFileSystems { frozen, running, still_frozen };

/// What commands ask about the VMs that libvirt knows, and change of them. Calls block until libvirt has
/// answered; they throw Error, the host's fault, when libvirt cannot be asked or refuses.
class Inventory {
 public:
  Inventory() = default;
  Inventory(const Inventory&) = delete;
  Inventory& operator=(const Inventory&) = delete;
  virtual ~Inventory() = default;

  /// Every domain, by name. One question, however many there are.
  virtual std::map<std::string, KnownDomain> domains() = 0;

  /// The domain's definition with its secrets, as the next start would use it.
  virtual std::string definition(const std::string& name) = 0;

  /// Makes a domain known without starting it. Returns its UUID. Faults as with start().
  virtual std::string define(const std::string& domain_xml) = 0;

  /// Forgets a domain that is not running; its disks stay, its NVRAM file goes. Fine if it is gone.
  virtual void undefine(const std::string& name) = 0;

  /// What files every domain uses, as it runs and as it is defined.
  virtual std::vector<DomainFiles> domain_files() = 0;

  /// Copies disks of a running domain as they are at one moment, while it runs on. Blocks until done, calling
  /// `progress` with bytes; what it throws (Cancelled too) leaves no copying behind, but perhaps files.
  virtual GuestFileSystems copy_disks(
      const std::string& name, const std::vector<DiskCopy>& copies,
      const std::function<void(std::uint64_t done, std::uint64_t total)>& progress) = 0;
};

}  // namespace sarde
