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

enum class NetworkMode { user, named, image };

/// A job's VM: everything that its domain is written from.
struct JobVm {
  VmName name;
  std::string image_xml = {};  ///< the image's domain: foreign text
  std::string job_id;
  std::string title;                  ///< for people: may hold any text
  std::filesystem::path folder = {};  ///< the job's
  Moment expires = {};                ///< when nobody can need the VM any more
  VirtType virt_type = VirtType::qemu;
  NetworkMode network = NetworkMode::user;
  std::string network_name;                            ///< for NetworkMode::named
  std::optional<TrafficFilter> filter = std::nullopt;  ///< on a bridge, beside isolated ports
  std::filesystem::path user_network_socket = {};  ///< passt's, if the user-mode network is to come from it
  DiskFiles disk_files;                            ///< by the image's bare name
  std::filesystem::path console_log;
  std::filesystem::path nvram;  ///< where UEFI variables go, if the image boots by UEFI
  std::optional<std::uint64_t> memory_mib = std::nullopt;      ///< nothing: as the image has it
  std::optional<unsigned> vcpus = std::nullopt;                ///< nothing: as the image has it
  std::optional<std::uint64_t> max_memory_mib = std::nullopt;  ///< nothing: any
  std::optional<unsigned> max_vcpus = std::nullopt;            ///< nothing: any
  std::vector<std::string> allowed_devices =
      {};  ///< elements in <devices> that are taken as the image has them
};

}  // namespace sarde
