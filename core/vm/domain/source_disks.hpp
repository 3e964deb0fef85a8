#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/vm/domain/domain_reading.hpp"

namespace sarde {

/// Where a disk or drive of a VM of this host has its data (formatdomain.html, "Hard drives, floppy disks,
/// CDROMs").
struct SourceDisk {
  std::size_t element = 0;  ///< which of the domain's <disk>s it is, from 0
  std::string target;       ///< vda
  std::string device;       ///< disk, cdrom, floppy, lun
  std::string type;         ///< file, block, volume, network, …
  std::string format;       ///< the driver's type; empty where it is unsaid
  bool read_only = false;
  bool is_empty = false;     ///< a drive with nothing in it
  std::string path = {};     ///< of a file or a device; empty for others
  VolumeName volume = {};    ///< of a volume
  std::string address = {};  ///< of a disk on a server, as qemu-img takes it: rbd:pool/image
};

/// The disks and drives of a domain, in their order.
std::vector<SourceDisk> source_disks(std::string_view xml);

/// A disk as it goes into an image: its name there, and its format.
struct DiskInImage {
  std::string file;
  std::string format;
};

/// A VM that has nothing but disks, and that these are the disks of.
struct BareVm {
  std::string name;
  std::string architecture = "x86_64";
  bool uefi = false;
  std::uint64_t memory_mib = 2048;
  unsigned vcpus = 2;
  std::vector<DiskInImage> disks;  ///< the first is booted from
};

/// A domain for it: the architecture's usual machine, with virtio disks and network card, and a serial
/// console. Throws Error (the job's fault) for an architecture that QEMU does not have.
std::string domain_of_disks(const BareVm& vm);

}  // namespace sarde
