#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "core/foundation/error.hpp"
#include "core/foundation/reporter.hpp"
#include "core/foundation/source.hpp"
#include "core/system/environment.hpp"
#include "core/vm/hypervisor.hpp"
#include "core/vm/passt.hpp"

namespace sarde {

/// The network of one job's VM.
struct JobNetwork {
  NetworkMode mode = NetworkMode::user;
  std::string name = {};                   ///< for NetworkMode::named: the libvirt network's; or the bridge's
  bool is_user = false;                    ///< a user-mode network: reached through a forwarded port
  bool wants_passt = false;                ///< the user-mode network is to be passt's
  std::string otherwise = {};              ///< the libvirt network in its place, if passt is not available
  std::optional<PasstNetwork> passt = {};  ///< the user-mode network, unless it is QEMU's built-in one
  std::optional<TrafficFilter> filter = {};  ///< on a bridge
};

/// The administrator's settings for jobs' networks.
struct NetworkRules {
  std::string wanted = {};  ///< `network`: user, passt, slirp, image, bridge:NAME, or a libvirt network;
                            ///< empty: the default
  bool is_session = false;  ///< libvirt runs as an ordinary user and has no bridges
  bool is_limited = false;  ///< `network-limit`, which the user-mode network cannot keep to
};

/// Decides which network a VM gets. `image_is_user`: the image's own network is a user-mode one.
JobNetwork choose_network(const NetworkRules& rules, bool image_is_user);

/// Throws Error, with what to do, if this host has no bridge of this name.
void require_bridge(const std::string& name);

/// Sets up the networks of jobs' VMs according to the setting `network`.
class JobNetworks {
 public:
  struct Parts {
    NetworkRules rules;
    const Environment& environment;
    Source<Hypervisor> hypervisor;
    Clock& clock;
    Cancellation& cancellation;
    Reporter& reporter;
  };

  explicit JobNetworks(Parts parts) : parts_(std::move(parts)) {}

  /// The VM's network, which is not set up yet (choose_network()).
  [[nodiscard]] JobNetwork choose(bool image_is_user) const {
    return choose_network(parts_.rules, image_is_user);
  }

  /// Throws Error, with what to do, if a libvirt network that the VM needs is missing or not active.
  void check() const;

  /// Sets the network up: starts passt, whose socket is in `folder`, or chooses the VM's filter. Blocks for a
  /// moment. If passt or the filter is not available, says so, and the VM gets another network or starts
  /// without the filter. If the setting is `passt`, throws Error instead.
  void open(JobNetwork& network, const std::string& image_xml, const std::filesystem::path& folder,
            std::uint16_t guest_port);

  /// The same, but only passt will do. Throws NoPasst otherwise, without a word to the job's log.
  void open_passt(JobNetwork& network, const std::filesystem::path& folder, std::uint16_t guest_port);

  /// Chooses the network that takes passt's place, and says so; open() sets it up. Throws Error if there is
  /// none.
  void do_without_passt(JobNetwork& network, const std::string& why);

  void warn_of_no_filter(const std::string& why);

 private:
  [[nodiscard]] PasstNetwork start_passt_in(const std::filesystem::path& folder, std::uint16_t guest_port);

  Parts parts_;
};

}  // namespace sarde
