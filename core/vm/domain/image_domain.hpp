#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sarde {

/// A disk of an image's domain. Its target and its place in the boot order are counted anew.
struct ImageDisk {
  std::size_t element = 0;  ///< which of the domain's <disk>s it is, from 0
  std::string file;         ///< bare name
  std::string format;       ///< qcow2, raw, …: the driver's type; empty where it is unsaid
  bool is_cdrom = false;
  std::string bus;
  bool is_bus_of_image = true;  ///< false if the image's is none that this VM can have
  unsigned iothread = 0;        ///< 0: none of its own
  std::string target;           ///< vda, sdb: in the order of the disks
  unsigned boot_order = 0;      ///< 1 for the first to boot from; 0: none
  bool read_only = false;
};

/// What the network card of an image's domain is connected to.
struct ImageInterface {
  std::string type = "user";  ///< user, network, bridge
  std::string source;         ///< the network's or the bridge's name
};

/// How a VM's processors are arranged. Some guests count sockets: Windows, for its licences.
struct CpuTopology {
  unsigned sockets = 1;
  unsigned cores = 1;
  unsigned threads = 1;
};

/// UEFI, by what it can do; the files are the host's own.
struct Firmware {
  bool is_uefi = false;
  bool secure_boot = false;  ///< refuses what nobody has signed
  std::optional<bool> enrolled_keys =
      {};  ///< Microsoft's, as a machine has them that one buys; nothing: unsaid
};

/// What a VM takes over from its image's domain beside the elements that are copied (carried_table()): every
/// value is a word of a list, a number within bounds, or counted here.
struct ImageDomainValues {
  std::uint64_t memory_kib = 0;
  unsigned vcpus = 1;
  std::optional<unsigned> vcpus_at_start = {};  ///< the others are for the guest's administrator to plug in
  std::optional<CpuTopology> topology = {};     ///< of exactly these processors
  std::string cpu_model;                        ///< that the image was made for; empty: any
  std::string architecture;
  std::string machine;  ///< q35, pc, virt, …; empty: the architecture's own
  Firmware firmware = {};
  bool is_windows = false;  ///< as libosinfo's metadata say
  std::vector<ImageDisk> disks;
  std::vector<std::string> scsi_controllers;  ///< their models, in their order
  ImageInterface interface;
};

/// The libvirt network that the image's domain names; empty if it is on something else.
std::string image_network_name(std::string_view xml);

/// Reads them. Throws Error (the job's fault) naming what is no value that a VM can have.
ImageDomainValues read_image_domain(std::string_view xml);

}  // namespace sarde
