#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/vm/disk_file.hpp"
#include "core/vm/hypervisor.hpp"
#include "core/vm/traffic_filter.hpp"
#include "core/vm/vm_name.hpp"

namespace sarde {

/// The XML namespace of the metadata on a job's domain: <job xmlns="…" id=… expires=… boot=…
/// expires-uptime=… folder=…/> (see Moment and JobDomain).
inline constexpr auto job_metadata_uri = "urn:sarde-executor:job:1";

enum class VirtType { kvm, qemu };

enum class NetworkMode { user, named, image };

/// A job's VM.
struct JobDomainPlan {
  VmName name;
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

/// A domain to start.
struct BuiltDomain {
  std::string xml;
  std::vector<std::string> left_out;  ///< elements of the image's domain that were not taken over
};

/// Builds the domain of a job from its image's: of that only what read_image_domain() gives, and the devices
/// that the administrator allows. Throws Error (the job's fault).
BuiltDomain build_job_domain(std::string_view image_xml, const JobDomainPlan& plan);

/// The network card of that domain alone, as libvirt wants to see it to change its filter while the VM runs.
std::string job_interface(std::string_view image_xml, const JobDomainPlan& plan);

}  // namespace sarde
