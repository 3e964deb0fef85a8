#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/foundation/unique_fd.hpp"
#include "core/image/registry/skopeo_settings.hpp"
#include "core/image/store/store_settings.hpp"
#include "core/system/clock.hpp"
#include "core/system/file_lock.hpp"

namespace sarde {

// The disks of an image that is not whole yet are served by a companion, one for each image
// (core/system/companion), which has the lock of the unpacked image. It brings the missing layers and gives
// the disks to VMs (core/image/serving). When all are there, the VMs go over to the files; it gives the image
// its folder and ends. It also ends when no VM needs it any more. What it needs to know is in a file in the
// image's folder, so that it can be started again if it is killed.

/// The name under which this program is that companion.
inline constexpr auto disk_server_name = "sarde-disk-server";

/// What a disk server is to do.
struct ServingOrder {
  std::string reference;  ///< the image, as it is called here
  std::string source;     ///< and at the registry
  std::string manifest;   ///< the digest
  std::string connect;    ///< libvirt's URI, for the VMs
  StoreSettings store = {};
  SkopeoSettings registry = {};
};

using EnvironmentList = std::vector<std::pair<std::string, std::string>>;

/// Starts a disk server for the folder of a PartialImage. `authfile`: a job's credentials, which are copied.
/// `lock`: of the unpacked image, which the server has from here on. Returns a connection to it, as
/// hold_disk_server does; nothing if it has ended at once and said nothing, being killed. Blocks for a minute
/// at most. Throws Error.
std::shared_ptr<const UniqueFd> start_disk_server(const std::filesystem::path& folder,
                                                  const ServingOrder& order,
                                                  const std::optional<std::filesystem::path>& authfile,
                                                  const FileLock& lock, const EnvironmentList& environment);

/// Gives the folder's server the credentials of another job that uses it, or (nothing) this machine's own:
/// those that it has may be good for the first job only. Throws Error.
void pass_credentials(const std::filesystem::path& folder,
                      const std::optional<std::filesystem::path>& authfile);

/// Where a server for this folder listens. Sockets have a path of 107 bytes at most (unix(7)).
std::filesystem::path socket_in(const std::filesystem::path& folder);
bool can_be_served(const std::filesystem::path& folder);

/// A connection to the folder's server, which stays as long as there is one. Nothing if there is no server,
/// or if it is about to end. Blocks for some seconds at most.
std::shared_ptr<const UniqueFd> hold_disk_server(const std::filesystem::path& folder);

/// Whether the server is still at the other end of such a connection.
bool holds_disk_server(const UniqueFd& hold);

/// ": " and what the folder's server has said when it failed; empty if it has said nothing.
std::string why_it_ended(const std::filesystem::path& folder);

/// Watches the server that a job's VM reads its disks from.
class DiskServerWatch {
 public:
  /// `folder`: of a PartialImage; empty: the VM reads files.
  DiskServerWatch(std::filesystem::path folder, EnvironmentList environment)
      : folder_(std::move(folder)), environment_(std::move(environment)) {}

  /// To be called about once a second. Starts the server again if it has been killed. Throws Error, the
  /// host's fault, if it cannot give the VM what it needs.
  void look();

 private:
  std::string start_again();

  std::filesystem::path folder_;
  EnvironmentList environment_;
  std::optional<std::chrono::steady_clock::time_point> missed_since_ = {};  ///< no server lives
};

/// What the companion does. Returns the exit code.
int serve_disks(const std::string& folder);

}  // namespace sarde
