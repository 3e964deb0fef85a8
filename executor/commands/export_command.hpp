#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/image/disk/disk_packing.hpp"
#include "executor/commands/answers.hpp"
#include "executor/commands/command_tools.hpp"

namespace sarde {

/// What a VM has that is made of disk files alone.
struct BareMachine {
  std::string architecture = "x86_64";  ///< libvirt's name
  bool uefi = false;
  std::uint64_t memory_mib = 2048;
  unsigned vcpus = 2;
};

struct ExportRequest {
  std::string vm;
  std::string container = {};  ///< the image; if empty, `tag`, or else the VM's name
  std::string tag = {};
  bool raw = false;                               ///< `container` is the folder of a layout
  bool live = false;                              ///< the disks of a running VM are copied first
  bool with_cdroms = false;                       ///< CDs in the VM's drives are taken along
  bool cloud_init = false;                        ///< jobs' VMs are set up through cloud-init
  bool strict = false;                            ///< what a job would refuse or lose is an error
  std::vector<std::string> allowed_devices = {};  ///< of jobs, by the settings
  std::vector<std::filesystem::path> disks = {};  ///< makes an image of these files, without a VM
  BareMachine bare = {};                          ///< for `disks`
  std::filesystem::path vm_config = {};           ///< JSON file with login and services; empty: none
  std::filesystem::path libvirt_config = {};      ///< domain XML to use instead of the VM's own; empty: none
  Compression compression = Compression::small;
  std::uint64_t largest_layer = 0;  ///< bytes; 0: unlimited
  unsigned threads = 1;
};

/// `export NAME [CONTAINER]`: makes an image of a VM and puts it into the cache (with --raw, into a layout in
/// the folder CONTAINER). The VM's files are only read.
NamedImage export_image(const CommandTools& tools, const ExportRequest& request);

}  // namespace sarde
