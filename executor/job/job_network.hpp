#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "core/foundation/reporter.hpp"
#include "core/foundation/source.hpp"
#include "core/system/environment.hpp"
#include "core/vm/hypervisor.hpp"
#include "core/vm/passt.hpp"

namespace sarde {

/// The network of one job's VM.
struct JobNetwork {
  NetworkMode mode = NetworkMode::user;
  std::string name = {};                     ///< for NetworkMode::named: the libvirt network's
  bool is_user = false;                      ///< a user-mode network: reached through a forwarded port
  std::optional<PasstNetwork> passt = {};    ///< the user-mode network, unless it is QEMU's built-in one
  std::optional<TrafficFilter> filter = {};  ///< on a bridge
};

/// Makes the networks of jobs' VMs as the administrator wants them.
class JobNetworks {
 public:
  struct Parts {
    std::string
        wanted;  ///< `network`: user, passt, slirp, image, or a libvirt network; empty: as fits libvirt
    bool is_session = false;  ///< libvirt is a user's own, which has no bridges
    const Environment& environment;
    Source<Hypervisor> hypervisor;
    Clock& clock;
    Cancellation& cancellation;
    Reporter& reporter;
  };

  explicit JobNetworks(Parts parts) : parts_(std::move(parts)) {}

  /// Which network it will be; nothing is made yet. `image_is_user`: the image's own network is a user-mode
  /// one.
  [[nodiscard]] JobNetwork choose(bool image_is_user) const;

  /// Makes it: passt is started, which keeps its socket in `folder`, or the VM's filter is chosen. Blocks for
  /// a moment. Where passt or the filter is not available that is said, and the VM starts without, unless
  /// passt was asked for by name: then Error is thrown.
  void open(JobNetwork& network, const std::string& image_xml, const std::filesystem::path& folder,
            std::uint16_t guest_port);

  void warn_of_no_filter(const std::string& why);

 private:
  [[nodiscard]] std::optional<PasstNetwork> start_passt_in(const std::filesystem::path& folder,
                                                           std::uint16_t guest_port);

  Parts parts_;
};

}  // namespace sarde
