#include "core/vm/libvirt/guest_addresses.hpp"

#include <cstdlib>
#include <span>

#include "core/vm/neighbours.hpp"
#include "core/vm/vm_name.hpp"

namespace sarde {

namespace {

/// The array of interfaces that virDomainInterfaceAddresses gives.
class Interfaces {
 public:
  Interfaces(virDomainPtr domain, unsigned source)
      : count_(virDomainInterfaceAddresses(domain, &interfaces_, source, 0)) {}

  Interfaces(const Interfaces&) = delete;
  Interfaces& operator=(const Interfaces&) = delete;

  ~Interfaces() {
    for (int i = 0; i < count_; ++i) virDomainInterfaceFree(interfaces_[i]);
    free(interfaces_);  // NOLINT(cppcoreguidelines-no-malloc): libvirt allocated it
  }

  /// IPv4 first; no loopback, no link-local.
  [[nodiscard]] std::vector<std::string> usable_addresses() const {
    std::vector<std::string> four;
    std::vector<std::string> six;
    for (int i = 0; i < count_; ++i) {
      const auto& interface = *interfaces_[i];
      for (const auto& address : std::span(interface.addrs, interface.naddrs)) {
        const std::string text = address.addr;
        if (text.starts_with("127.") || text.starts_with("169.254.") || text.starts_with("fe80:") ||
            text == "::1")
          continue;
        (address.type == VIR_IP_ADDR_TYPE_IPV6 ? six : four).push_back(text);
      }
    }
    four.insert(four.end(), six.begin(), six.end());
    return four;
  }

 private:
  virDomainInterfacePtr* interfaces_ = nullptr;
  int count_;
};

}  // namespace

std::vector<std::string> guest_addresses(const Domain& domain, const std::string& name) {
  for (const auto source :
       {VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE, VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT,
        VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ARP}) {
    auto found = Interfaces(domain.get(), source).usable_addresses();
    if (source == VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT) {
      const auto vm = VmName::parse(name);
      std::erase_if(found, [&](const std::string& address) {
        return !vm || !is_neighbour(address, vm->mac_address());
      });
    }
    if (!found.empty()) return found;
  }
  return {};
}

}  // namespace sarde
