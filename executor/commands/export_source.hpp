#pragma once

#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/image/disk/disk_chain.hpp"
#include "core/system/temp_files.hpp"
#include "executor/commands/command_tools.hpp"
#include "executor/commands/export_command.hpp"

namespace sarde {

/// A disk that goes into an image: where it is, and what it is in the definition.
struct DiskToExport {
  std::size_t element = 0;  ///< its place among the definition's <disk>s
  std::filesystem::path path;
  std::string format;  ///< qcow2 or raw
};

/// What an image is made from: a definition, and the files that contain its disks.
struct VmToExport {
  std::string xml;
  std::string architecture;  ///< libvirt's name
  std::vector<DiskToExport> disks = {};
  std::set<std::size_t> emptied = {};         ///< drives whose CD is left out
  std::set<std::size_t> dropped = {};         ///< disks and drives that are left out
  std::filesystem::path uefi_variables = {};  ///< the file named for them, if there is one; empty: none
  std::optional<TempFolder> copies = {};      ///< of a running VM's disks, and of disks in other formats
};

/// A file that the caller named, so it is the caller's fault (Blame::job) if it cannot be read.
std::string read_named_file(const std::filesystem::path& file);

/// The VM, the definition or the disk files that the request names. Disks of a running VM are copied
/// (--live), those in other formats than qcow2 and raw converted; block devices and volumes are read where
/// they are. Says what is left out. Throws Error (the job's fault) for what no image can have, and for a VM
/// that is running.
VmToExport source_of_export(const CommandTools& tools, const ExportRequest& request);

}  // namespace sarde
