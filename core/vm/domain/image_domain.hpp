#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sarde {

/// A disk of an image's domain. Its target and its place in the boot order are counted anew.
struct ImageDisk {
  std::string file;    ///< bare name
  std::string format;  ///< qcow2, raw, …: the driver's type; empty where it is unsaid
  bool is_cdrom = false;
  std::string bus;
  std::string target;       ///< vda, sdb: in the order of the disks
  unsigned boot_order = 0;  ///< 1 for the first to boot from; 0: none
  bool read_only = false;
};

/// The network card of an image's domain, as far as a job's VM takes it over.
struct ImageInterface {
  std::string type = "user";  ///< user, network, bridge
  std::string source;         ///< the network's or the bridge's name
  std::string model = "virtio";
};

/// How a VM's processors are arranged. Some guests count sockets: Windows, for its licences.
struct CpuTopology {
  unsigned sockets = 1;
  unsigned cores = 1;
  unsigned threads = 1;
};

/// What a job's VM takes over from its image's domain, and nothing else: every value is a word of a list, a
/// number within bounds, or counted here.
struct ImageDomainValues {
  std::uint64_t memory_kib = 0;
  unsigned vcpus = 1;
  std::optional<CpuTopology> topology = {};  ///< of exactly these processors
  std::string cpu_model;                     ///< that the image was made for; empty: any
  std::string architecture;
  std::string machine;  ///< q35, pc, virt, …; empty: the architecture's own
  bool uefi = false;
  std::string clock_offset = "utc";
  std::vector<std::string> features;
  std::vector<ImageDisk> disks;
  std::vector<std::string> scsi_controllers;  ///< their models, in their order
  ImageInterface interface;
  std::string video;  ///< the model's type; empty: none
};

/// The libvirt network that the image's domain names; empty if it is on something else.
std::string image_network_name(std::string_view xml);

/// Reads them. Throws Error (the job's fault) naming what is no value that a VM can have.
ImageDomainValues read_image_domain(std::string_view xml);

}  // namespace sarde
