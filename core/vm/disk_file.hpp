#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace sarde {

/// A backing file of a disk.
struct BackingFile {
  std::filesystem::path path;
  std::string format;  ///< qcow2 or raw
};

/// Whether the file belongs to one VM, or other VMs read it as well. libvirt must not change the owner of a
/// shared file.
enum class DiskOwnership { own, shared };

/// A disk's file for a new VM.
struct DiskFile {
  std::filesystem::path path;
  std::string format;                     ///< qcow2 or raw
  std::vector<BackingFile> backing = {};  ///< its backing files, the topmost first: all shared
  DiskOwnership ownership = DiskOwnership::own;
};

/// By the name that the domain has for the disk's file.
using DiskFiles = std::map<std::string, DiskFile>;

}  // namespace sarde
