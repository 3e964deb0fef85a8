#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace sarde {

/// A file that a disk rests on.
struct BackingFile {
  std::filesystem::path path;
  std::string format;  ///< qcow2 or raw
};

/// Whether a file is the VM's own or others read it as well: then libvirt is not to give it to QEMU's
/// account.
enum class DiskOwnership { own, shared };

/// A disk's file for a VM that is to be made.
struct DiskFile {
  std::filesystem::path path;
  std::string format;                     ///< qcow2 or raw
  std::vector<BackingFile> backing = {};  ///< what it rests on, the topmost first: all shared
  DiskOwnership ownership = DiskOwnership::own;
};

/// By the name that the domain has for the disk's file.
using DiskFiles = std::map<std::string, DiskFile>;

}  // namespace sarde
